//! The host's end: says that it is there, for as long as it is.
//!
//! Promises: a thread of its own, and nobody waits for it; an announcement that does not come about is told once and
//! counted, and one that does later is told too. At the end it is withdrawn (two goodbyes, RFC 6762, section 10.1).
//! Refuses to announce an address that only this machine reaches.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use mdns_sd::{DaemonEvent, IfKind, Receiver, ServiceInfo};

use crate::limits::{ANNOUNCE_MAX, ANSWER_MAX, GOODBYE_AGAIN_MAX, GOODBYE_LOOK_INTERVAL, LOOK_INTERVAL};
use crate::responder::{Health, Responder};
use crate::{About, DiscoverError, SERVICE, name};

/// On which addresses a host is announced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// On every one that the machine has, on each network its own.
    Everywhere,
    /// On this one.
    At(IpAddr),
}

impl Place {
    /// Where a host is announced that listens there; `None` where only its own machine reaches it.
    pub fn of(listen: IpAddr) -> Option<Self> {
        match listen.to_canonical() {
            address if address.is_loopback() => None,
            address if address.is_unspecified() => Some(Self::Everywhere),
            address => Some(Self::At(address)),
        }
    }
}

/// What becomes of an announcement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum News {
    /// The network has heard of it, under this name.
    Announced {
        /// The name.
        name: String,
    },
    /// Another host had the name.
    Renamed {
        /// The name from now on.
        name: String,
    },
    /// It has not been sent anywhere in its time.
    Unheard {
        /// What the library says, if anything.
        why: String,
    },
    /// Somebody fills the library's memory, or has ended it: it was begun anew.
    BegunAnew {
        /// Which of the two.
        why: &'static str,
    },
}

/// What went wrong, counted.
#[derive(Debug, Default)]
pub struct Faults {
    unheard: AtomicU64,
    begun_anew: AtomicU64,
}

impl Faults {
    /// How often no announcement came about in its time.
    pub fn unheard(&self) -> u64 {
        self.unheard.load(Ordering::Relaxed)
    }

    /// How often the library was begun anew.
    pub fn begun_anew(&self) -> u64 {
        self.begun_anew.load(Ordering::Relaxed)
    }
}

/// A host that is announced until this is dropped.
pub struct Announcement {
    end: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
    faults: Arc<Faults>,
}

impl Announcement {
    /// Announces a host of this name and port; `tell` hears what becomes of it, on another thread.
    ///
    /// # Errors
    /// No thread can be had, or the library does not begin.
    pub fn start(
        (host_name, port): (&str, u16),
        about: &About,
        place: Place,
        tell: impl FnMut(News) + Send + 'static,
    ) -> Result<Self, DiscoverError> {
        let service = service((host_name, port), about, place).map_err(DiscoverError::of("announce"))?;
        let running = Running::start(&service)?;
        let (end, ended) = mpsc::channel();
        let faults = Arc::new(Faults::default());
        let mut announcer = Announcer { service, running, faults: Arc::clone(&faults), tell: Box::new(tell) };
        let thread = thread::Builder::new().name("announce".into()).spawn(move || {
            while ended.recv_timeout(LOOK_INTERVAL) == Err(RecvTimeoutError::Timeout) {
                announcer.look(Instant::now());
            }
            announcer.running.withdraw();
        });
        Ok(Self { end: Some(end), thread: Some(thread.map_err(DiscoverError::Thread)?), faults })
    }

    /// What went wrong so far.
    pub fn faults(&self) -> &Faults {
        &self.faults
    }
}

impl Drop for Announcement {
    fn drop(&mut self) {
        drop(self.end.take());
        if let Some(thread) = self.thread.take() {
            // One that panicked has said so.
            let _ = thread.join();
        }
    }
}

/// What is announced. Its name in DNS is its own: the machine's may be another program's to announce.
fn service(
    (host_name, port): (&str, u16),
    about: &About,
    place: Place,
) -> Result<ServiceInfo, mdns_sd::Error> {
    let dns_name = format!("punktfunk-{}.local.", about.id());
    let txt = about.txt();
    let instance = name::printable(host_name);
    let new = |address: &str| ServiceInfo::new(SERVICE, &instance, &dns_name, address, port, &txt[..]);
    Ok(match place {
        Place::Everywhere => new("")?.enable_addr_auto(),
        Place::At(address) => {
            let mut service = new(&address.to_string())?;
            service.set_interfaces(vec![IfKind::Addr(address)]);
            service
        }
    })
}

/// The library with the service in it.
struct Running {
    responder: Responder,
    events: Receiver<DaemonEvent>,
    fullname: String,
    began: Instant,
    is_announced: bool,
    is_unheard: bool,
}

impl Running {
    fn start(service: &ServiceInfo) -> Result<Self, DiscoverError> {
        let responder = Responder::start()?;
        let events = responder.daemon.monitor().map_err(DiscoverError::of("be watched"))?;
        responder.daemon.register(service.clone()).map_err(DiscoverError::of("announce"))?;
        let fullname = service.get_fullname().to_owned();
        Ok(Self {
            responder,
            events,
            fullname,
            began: Instant::now(),
            is_announced: false,
            is_unheard: false,
        })
    }

    /// Says goodbye, twice.
    fn withdraw(&self) {
        let Ok(said) = self.responder.daemon.unregister(&self.fullname) else { return };
        if said.recv_timeout(ANSWER_MAX).is_err() || !self.is_announced {
            return;
        }
        let until = Instant::now() + GOODBYE_AGAIN_MAX;
        while self.responder.counted("unregister-resend") == 0 && Instant::now() < until {
            // Nothing comes any more: this is the pause between two looks.
            let _ = self.events.recv_timeout(GOODBYE_LOOK_INTERVAL);
        }
    }
}

/// What the thread has.
struct Announcer {
    service: ServiceInfo,
    running: Running,
    faults: Arc<Faults>,
    tell: Box<dyn FnMut(News) + Send>,
}

impl Announcer {
    fn look(&mut self, now: Instant) {
        let mut fault = String::new();
        while let Ok(event) = self.running.events.try_recv() {
            match event {
                DaemonEvent::Announce(fullname, _) if !self.running.is_announced => {
                    self.running.is_announced = true;
                    (self.tell)(News::Announced { name: name::of_instance(&fullname, SERVICE) });
                }
                DaemonEvent::NameChange(change) if change.original == self.running.fullname => {
                    (self.tell)(News::Renamed { name: name::of_instance(&change.new_name, SERVICE) });
                }
                DaemonEvent::Error(error) => fault = format!(" ({})", name::printable(&error.to_string())),
                // Addresses and answers; the library may tell of more than there is a word for here.
                _ => {}
            }
        }
        let is_late = now.saturating_duration_since(self.running.began) >= ANNOUNCE_MAX;
        if is_late && !self.running.is_announced && !self.running.is_unheard {
            self.running.is_unheard = true;
            self.faults.unheard.fetch_add(1, Ordering::Relaxed);
            let why =
                format!("no network takes multicast, or UDP port 5353 is another program's alone{fault}");
            (self.tell)(News::Unheard { why });
        }
        match self.running.responder.health() {
            Health::Well => {}
            Health::Flooded => self.begin_anew("this network's hosts and services are too many to remember"),
            Health::Gone => self.begin_anew("the library has ended by itself"),
        }
    }

    /// Tells of the first time only; the others are counted.
    fn begin_anew(&mut self, why: &'static str) {
        if self.faults.begun_anew.fetch_add(1, Ordering::Relaxed) == 0 {
            (self.tell)(News::BegunAnew { why });
        }
        // Where it does not begin, the old one is asked again at the next look.
        if let Ok(mut running) = Running::start(&self.service) {
            running.is_announced = self.running.is_announced;
            self.running = running;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Pairing;

    #[test]
    fn a_host_is_announced_where_others_reach_it() {
        let of = |text: &str| Place::of(text.parse().unwrap());
        for alone in ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"] {
            assert_eq!(of(alone), None, "{alone}");
        }
        for everywhere in ["0.0.0.0", "::", "::ffff:0.0.0.0"] {
            assert_eq!(of(everywhere), Some(Place::Everywhere), "{everywhere}");
        }
        assert_eq!(of("::ffff:10.0.0.1"), Some(Place::At("10.0.0.1".parse().unwrap())));
    }

    #[test]
    fn any_name_of_a_machine_can_be_announced() {
        let about = About::new(2, &"ab".repeat(32), Pairing::Required).unwrap();
        for host_name in ["desk", "", &"ä".repeat(500), "a.b\\c", "\u{1b}[31m", "x\0y"] {
            for place in [Place::Everywhere, Place::At("10.0.0.1".parse().unwrap())] {
                let service = service((host_name, 9), &about, place).unwrap();
                assert_eq!(service.get_hostname(), "punktfunk-abababababababab.local.");
                let label = service.get_fullname().strip_suffix(SERVICE).unwrap();
                assert!(label.len() <= 65 && !label.contains(char::is_control), "{label:?}");
            }
        }
    }
}
