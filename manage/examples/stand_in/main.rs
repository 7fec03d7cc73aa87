//! A host that is none: made-up sessions, devices and figures behind the real server, to look at the console with.
//!
//! `cargo run -p punktfunk-manage --example stand_in [ADDR:PORT]` prints where to look and the token. It ends with
//! Ctrl-C.
#![expect(clippy::print_stdout, reason = "it says where to look")]

mod host;

use std::net::SocketAddr;
use std::process::ExitCode;
use std::time::Duration;

use host::{Served, StandIn};
use punktfunk_manage::Token;

fn main() -> ExitCode {
    let listen = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:47801".to_owned());
    let Ok(listen) = listen.parse::<SocketAddr>() else {
        eprintln!("{listen:?} is no address with a port, as 127.0.0.1:47801 is");
        return ExitCode::from(2);
    };
    let dir = tempfile::tempdir().expect("a folder");
    let token = Token::load_or_create(dir.path()).expect("a token");
    match Served::start(listen, token.clone(), host::identity(), StandIn::lively()) {
        Ok(served) => {
            println!("https://{}/#token={}", served.address(), token.reveal());
            println!("token {}", token.reveal());
            loop {
                std::thread::sleep(Duration::from_secs(1));
            }
        }
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
