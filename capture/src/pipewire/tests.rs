//! What the tests of the doors share: a session bus of our own, for those who stand in for whoever is on it.

use std::process::{Child, Command, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use zbus::message::Type as MessageType;
use zbus::{Connection, Message, MessageStream};

/// What a bus may take to be there, on a busy machine too.
pub(super) const DEADLINE: Duration = Duration::from_secs(20);

/// The bus, and who answers on it; both end with it.
pub(super) struct TestBus {
    bus: Child,
    pub(super) address: String,
    pub(super) dir: tempfile::TempDir,
    thread: Option<JoinHandle<()>>,
}

impl TestBus {
    /// A bus that nobody is on.
    pub(super) fn start() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("bus");
        let address = format!("unix:path={}", socket.display());
        let config = format!(
            "<busconfig><type>session</type><listen>{address}</listen><policy context='default'>\
             <allow send_destination='*' eavesdrop='true'/><allow eavesdrop='true'/><allow own='*'/>\
             </policy></busconfig>"
        );
        let config_file = dir.path().join("bus.conf");
        std::fs::write(&config_file, config).unwrap();
        let bus = Command::new("dbus-daemon")
            .arg(format!("--config-file={}", config_file.display()))
            .args(["--nofork", "--nopidfile"])
            .stdin(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("dbus-daemon: {error}"));
        let started = Instant::now();
        while !socket.exists() {
            assert!(started.elapsed() < DEADLINE, "no bus");
            std::thread::sleep(Duration::from_millis(5));
        }
        Self { bus, address, dir, thread: None }
    }

    /// Has `serve` answer to `name` from now on.
    pub(super) fn serve<F>(
        &mut self,
        name: &'static str,
        serve: impl FnOnce(Connection, MessageStream) -> F + Send + 'static,
    ) where
        F: Future<Output = ()>,
    {
        let (address, (ready, is_ready)) = (self.address.clone(), std::sync::mpsc::channel());
        self.thread = Some(std::thread::spawn(move || {
            zbus::block_on(async {
                let connection = zbus::connection::Builder::address(address.as_str()).build().await.unwrap();
                let calls = MessageStream::from(&connection);
                connection.request_name(name).await.unwrap();
                ready.send(()).unwrap();
                serve(connection, calls).await;
            });
        }));
        is_ready.recv_timeout(DEADLINE).unwrap();
    }
}

impl Drop for TestBus {
    fn drop(&mut self) {
        let _ = self.bus.kill();
        let _ = self.bus.wait();
        // Without its bus it has no more calls.
        if let Some(Err(panic)) = self.thread.take().map(JoinHandle::join)
            && !std::thread::panicking()
        {
            std::panic::resume_unwind(panic);
        }
    }
}

/// The next call of a method; none once the bus is gone.
pub(super) async fn next_call(calls: &mut MessageStream) -> Option<Message> {
    loop {
        let message = std::future::poll_fn(|context| {
            futures_core::Stream::poll_next(std::pin::Pin::new(&mut *calls), context)
        });
        match message.await? {
            Ok(message) if message.message_type() == MessageType::MethodCall => return Some(message),
            Ok(_) => {}
            Err(_) => return None,
        }
    }
}
