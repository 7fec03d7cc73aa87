//! What takes as long as the disk does, done beside the loop that all sessions' control is on.
//!
//! Promises: the loop waits for no file; one thread, and errands in the order that they were given; one that panics costs
//! no other. Refuses more than [`ERRANDS_MAX`] at a time, by name.

use std::sync::Arc;
use std::sync::mpsc::{self, SendError, Sender};
use std::thread;

use punktfunk_manage::{Refused, Reply, Why};

/// What may wait for the disk: a few people's clicks.
const ERRANDS_MAX: usize = 32;

type Errand = Box<dyn FnOnce() + Send>;

/// The thread, and what it has to do.
#[derive(Default)]
pub struct Errands {
    /// None before the first errand.
    thread: Option<Sender<Errand>>,
    /// One share for each errand that is not done.
    waiting: Arc<()>,
}

impl Errands {
    /// Finds an answer there, and gives it from there.
    pub fn answer<T: Send + 'static>(
        &mut self,
        reply: Reply<T>,
        find: impl FnOnce() -> Result<T, Refused> + Send + 'static,
    ) {
        if Arc::strong_count(&self.waiting) > ERRANDS_MAX {
            let why = "the host waits for its disk, with much else to do already";
            return reply.answer(Err(Refused::new(Why::TooSoon, why, "try again in some seconds")));
        }
        self.begin(move || reply.answer(find()));
    }

    /// Does something that nobody waits for, where nothing else is to be done.
    pub fn spare(&mut self, work: impl FnOnce() + Send + 'static) {
        if Arc::strong_count(&self.waiting) == 1 {
            self.begin(work);
        }
    }

    fn begin(&mut self, work: impl FnOnce() + Send + 'static) {
        let turn = Arc::clone(&self.waiting);
        let errand: Errand = Box::new(move || {
            work();
            drop(turn);
        });
        let errand = match &self.thread {
            None => errand,
            Some(thread) => match thread.send(errand) {
                Ok(()) => return,
                // The one before has panicked there.
                Err(SendError(errand)) => errand,
            },
        };
        let (sender, errands) = mpsc::channel::<Errand>();
        let run = move || errands.into_iter().for_each(|errand| errand());
        match thread::Builder::new().name("errands".into()).spawn(run) {
            Ok(_) => {
                // It is there.
                let _ = sender.send(errand);
                self.thread = Some(sender);
            }
            // The reply is dropped, which its asker is told.
            Err(error) => tracing::warn!(%error, "no thread for what takes the disk's time"),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use punktfunk_manage::Waiting;

    use super::*;

    /// The answer, which comes from another thread.
    fn wait<T>(mut waiting: Waiting<T>) -> Result<T, Refused> {
        let asked = Instant::now();
        loop {
            if let Some(answer) = waiting.poll() {
                return answer;
            }
            assert!(asked.elapsed() < Duration::from_secs(20), "no answer");
            thread::sleep(Duration::from_millis(1));
        }
    }

    #[test]
    fn the_asker_waits_for_the_disk_and_the_loop_does_not() {
        let (mut errands, (go, goes)) = (Errands::default(), mpsc::channel::<()>());
        let (reply, mut slow) = Reply::pair();
        errands.answer(reply, move || {
            let _ = goes.recv();
            Ok(1)
        });
        let more: Vec<_> = (2..=ERRANDS_MAX)
            .map(|number| {
                let (reply, waiting) = Reply::pair();
                errands.answer(reply, move || Ok(number));
                waiting
            })
            .collect();
        let (reply, one_too_many) = Reply::pair();
        errands.answer(reply, || Ok(0));
        assert_eq!(wait(one_too_many).unwrap_err().why, Why::TooSoon);
        errands.spare(|| panic!("there is much to do"));
        assert_eq!(slow.poll(), None);
        drop(go);
        assert_eq!(wait(slow), Ok(1));
        let answers: Vec<_> = more.into_iter().map(|waiting| wait(waiting).unwrap()).collect();
        assert!(answers.into_iter().eq(2..=ERRANDS_MAX));
    }

    #[test]
    fn one_that_panics_costs_no_other() {
        let mut errands = Errands::default();
        let (sender, gone) = mpsc::channel::<()>();
        errands.spare(move || {
            let _sender = sender;
            panic!("this is part of the test");
        });
        assert!(gone.recv().is_err());
        let asked = Instant::now();
        // What is given while that thread goes may go with it.
        loop {
            let (reply, mut waiting) = Reply::pair();
            errands.answer(reply, || Ok(()));
            thread::sleep(Duration::from_millis(5));
            if waiting.poll() == Some(Ok(())) {
                break;
            }
            assert!(asked.elapsed() < Duration::from_secs(20), "no answer");
        }
    }
}
