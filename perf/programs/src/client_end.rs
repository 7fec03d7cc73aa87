//! The receiving end: the engine's client pipeline on a real socket, in a process of its own.
//!
//! Promises: all that runs beside the pipeline is what the client's control thread does in the product: reports out,
//! samples out. Refuses: to say a latency where the sender has another clock.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::{Duration, Instant};

use punktfunk_engine::{ClientConfig, ClientPipeline, SessionTime, Waker};
use punktfunk_net::{ReceiveLimits, Receiver, Socket, SocketConfig};
use punktfunk_proto::{ReassemblerLimits, SessionClock};
use punktfunk_seal::Opener;

use crate::case::Checking;
use crate::error::PerfProgramError;
use crate::hello::{Hello, SAID_BYTES_MAX, Said};
use crate::host_end::{machine_for, opening_keys};
use crate::machine;
use crate::meter::{DRAIN_INTERVAL, Meter, Totals};
use crate::sink::{CheckingSink, SinkCounts};
use crate::talk::{Answer, ClientSetup, Order, Orders, answer};

/// The receiving end's parts.
struct Client {
    pipeline: ClientPipeline<CheckingSink>,
    says: UdpSocket,
    reports_to: Option<SocketAddr>,
    counts: Arc<SinkCounts>,
    meter: Meter,
}

/// Runs until told to stop. `control` is woken by the stages and by orders.
///
/// # Errors
/// The pipeline cannot start, or a stage broke.
pub fn run(setup: &ClientSetup, orders: &Orders, control: &Waker) -> Result<(), PerfProgramError> {
    control.attach();
    let (mut client, address, words) = Client::start(setup, control)?;
    answer(&Answer::Ready { address, setup: words });
    loop {
        thread::park_timeout(DRAIN_INTERVAL);
        client.serve(Instant::now());
        match orders.poll() {
            Some(Order::Go | Order::Change(_)) => answer(&Answer::Done),
            Some(Order::Mark) => {
                let totals = client.totals();
                client.meter.mark(totals);
                answer(&Answer::Done);
            }
            Some(Order::Report) => {
                let totals = client.totals();
                answer(&Answer::Window(Box::new(client.meter.window(totals))));
            }
            Some(Order::Stop) => return client.stop(),
            None if client.pipeline.is_ended() => {
                let fault = client.pipeline.stop().fault;
                let words = fault.map_or("a stage has ended".to_owned(), |fault| fault.to_string());
                return Err(PerfProgramError::Failed(words));
            }
            None => {}
        }
    }
}

impl Client {
    fn start(
        setup: &ClientSetup,
        control: &Waker,
    ) -> Result<(Client, SocketAddr, Vec<String>), PerfProgramError> {
        let io = |source| PerfProgramError::Io { what: "open the reports' socket", source };
        let case = &setup.case;
        let negotiated = case.negotiated()?;
        let socket = Arc::new(Socket::open(&SocketConfig {
            backend: case.backend()?,
            ..SocketConfig::new(setup.listen)
        })?);
        let address = socket.local_addr();
        let mut words = vec![socket.caps().to_string()];
        let says = UdpSocket::bind(SocketAddr::new(setup.listen.ip(), 0)).map_err(io)?;
        let origin = setup.origin_ns.map_or_else(Instant::now, machine::instant_at);
        let time = Arc::new(SessionTime::default());
        if setup.origin_ns.is_some() {
            time.join(0);
        }
        let config = ClientConfig {
            negotiated,
            clock: SessionClock::new(origin),
            time,
            control: control.clone(),
            machine: machine_for(case.waiting)?,
        };
        let counts = Arc::new(SinkCounts::default());
        let sink = CheckingSink::new(case.checking == Checking::All, Arc::clone(&counts));
        let receiver = Receiver::new(socket, ReceiveLimits::default())?;
        let window = ReassemblerLimits::from(&negotiated).replay_window;
        let (keys, opened_by) = opening_keys(setup.seed);
        words.push(opened_by);
        let opener = Opener::new(keys, window);
        let mut pipeline = ClientPipeline::start(sink, receiver, opener, &config)?;
        words.extend(pipeline.setups().iter().map(ToString::to_string));
        let meter = Meter::new("client", pipeline.take_collectors(), setup.perf.as_deref(), origin)?;
        Ok((Client { pipeline, says, reports_to: None, counts, meter }, address, words))
    }

    fn serve(&mut self, now: Instant) {
        let reports_to = &mut self.reports_to;
        self.pipeline.poll_quic(|from, _, bytes| {
            if let Some(hello) = Hello::parse(bytes) {
                *reports_to = Some(SocketAddr::new(from.ip(), hello.port));
            }
        });
        let report = self.pipeline.poll_feedback().map(Said::Report);
        let idr = self.pipeline.poll_idr_request().map(Said::Missing);
        let mut bytes = [0; SAID_BYTES_MAX];
        if let Some(to) = self.reports_to {
            for said in report.into_iter().chain(idr) {
                let length = said.encode(&mut bytes);
                // What is lost here the next report repeats.
                let _ = self.says.send_to(&bytes[..length], to);
            }
        }
        let (pipeline, counts) = (&self.pipeline, &self.counts);
        self.meter.poll(|| totals(pipeline, counts), now);
    }

    fn totals(&self) -> Totals {
        totals(&self.pipeline, &self.counts)
    }

    fn stop(mut self) -> Result<(), PerfProgramError> {
        // What the sender sent last is still on its way.
        let end = Instant::now() + Duration::from_millis(60);
        while Instant::now() < end {
            thread::park_timeout(Duration::from_millis(5));
            self.serve(Instant::now());
        }
        let totals = self.totals();
        let mut window = self.meter.window(totals.clone());
        self.meter.finish(&totals);
        let end = self.pipeline.stop();
        window.gauges.insert("spans_out".to_owned(), end.spans_out as u64);
        match end.fault {
            Some(fault) => Err(PerfProgramError::Failed(fault.to_string())),
            None => {
                answer(&Answer::Window(Box::new(window)));
                Ok(())
            }
        }
    }
}

fn totals(pipeline: &ClientPipeline<CheckingSink>, counts: &SinkCounts) -> Totals {
    let stats = pipeline.stats();
    let (receive, decode) = (stats.receive, stats.decode);
    let right = counts.right_slices.load(Ordering::Relaxed);
    let wrong = counts.wrong_slices.load(Ordering::Relaxed);
    Totals {
        apart_ns: counts.checking_ns.load(Ordering::Relaxed),
        counters: vec![
            ("whole", decode.whole),
            ("decoded", decode.decoded),
            ("bytes", decode.bytes),
            ("dropped_decode_error", decode.dropped_decode_error),
            ("dropped_decode_queue", receive.dropped_decode_queue),
            ("datagrams", receive.datagrams),
            ("wire_bytes", receive.wire_bytes),
            ("placed", receive.placed),
            ("copied", receive.copied),
            ("surplus", receive.surplus),
            ("replayed", receive.replayed),
            ("late", receive.late),
            ("malformed", receive.malformed),
            ("bad_tag", receive.bad_tag),
            ("unknown_epoch", receive.unknown_epoch),
            ("over_limit", receive.over_limit),
            ("recovered", receive.recovered),
            ("lost_aus", receive.lost_aus),
            ("late_aus", receive.late_aus),
            ("dropped_memory", receive.dropped_memory),
            ("dropped_window", receive.dropped_window),
            ("kernel_drops", receive.kernel_drops),
            ("batches", receive.batches),
            ("right_slices", right),
            ("wrong_slices", wrong),
        ],
        gauges: vec![
            ("spans_out", receive.spans_out),
            ("pool_bytes", receive.span_bytes),
            ("datagrams_ever", receive.datagrams),
            ("whole_ever", decode.whole),
            ("bytes_ever", decode.bytes),
            ("slices_ever", right + wrong),
            ("looked_ever", counts.looked_bytes.load(Ordering::Relaxed)),
        ],
    }
}
