//! The command line, read without a library so that the first command builds in seconds.

use std::path::PathBuf;
use std::time::Duration;

use crate::fault::Fault;

pub(crate) const USAGE: &str = "\
usage: cargo xtask COMMAND

  demo [--out DIR] [--seconds N] [--no-install]
        stream a desktop to a client on this machine and leave the recording and its figures in DIR
        (demo-out, 15 s). Installs the Debian packages that it needs; asks first where it can.
  test [--no-install] [-- ARGS]
        install what the tests need and run them all, or those that ARGS pick (-p fec)
  userland [--no-install] [-- COMMAND...]
        make a newer Debian's userland in target/userland, and run there the tests that want its compositors and its
        PipeWire; or COMMAND. Wants root
  vm [--no-install] [-- COMMAND...]
        boot Debian's 6.12 kernel in a virtual machine, with this machine's files to read, and run there the tests
        that the kernel at hand may have no means for; or COMMAND
  fuzz TARGET [--seconds N] [--keep]
        look for new paths through a fuzz target (60 s); --keep adds what reaches new code to fuzz/corpus
  instructions [--renew] [--no-install]
        count the instructions of the hot verbs under callgrind and compare with perf/instructions.toml
  soak [--no-install]
        200 sessions, 100 changes and 40 kills of either end, one after the other: what is left, and how soon there are
        pictures again. Takes minutes
  valgrind [--no-install]
        the tests of the rooms that hold unsafe code, under memcheck
  package [--no-install]
        build Debian packages of the programs into target/packages
  web [--check] [--no-install]
        build the console's sources in web/ into web/dist; --check only tells whether that is what is there. Wants
        node and npm
  shaders [--check] [--no-install]
        build the shaders in gpu/shaders into the code beside them; --check only tells whether that is what is there
  tidy
        the rules of the house: floors, sizes, names, words, SAFETY comments

  --no-install   install nothing; what is missing is your affair";

/// What to do.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Help,
    Demo(DemoOptions),
    Test(TestOptions),
    Userland(UserlandOptions),
    Vm(VmOptions),
    Fuzz(FuzzOptions),
    Instructions(InstructionsOptions),
    Soak(SoakOptions),
    Valgrind(ValgrindOptions),
    Package(PackageOptions),
    Web(WebOptions),
    Shaders(ShadersOptions),
    Tidy,
}

/// Options of `demo`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct DemoOptions {
    pub(crate) out: PathBuf,
    pub(crate) stream: Duration,
    pub(crate) install: bool,
}

/// Options of `test`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct TestOptions {
    pub(crate) install: bool,
    pub(crate) runner_args: Vec<String>,
}

/// Options of `userland`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct UserlandOptions {
    pub(crate) install: bool,
    /// What to run instead of the tests; empty for those.
    pub(crate) command: Vec<String>,
}

/// Options of `vm`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct VmOptions {
    pub(crate) install: bool,
    /// What to run instead of the tests; empty for those.
    pub(crate) command: Vec<String>,
}

/// Options of `fuzz`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct FuzzOptions {
    pub(crate) target: String,
    pub(crate) seconds: u64,
    pub(crate) keep: bool,
}

/// Options of `instructions`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct InstructionsOptions {
    pub(crate) install: bool,
    pub(crate) renew: bool,
}

/// Options of `soak`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct SoakOptions {
    pub(crate) install: bool,
}

/// Options of `valgrind`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ValgrindOptions {
    pub(crate) install: bool,
}

/// Options of `package`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct PackageOptions {
    pub(crate) install: bool,
}

/// Options of `web`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct WebOptions {
    pub(crate) install: bool,
    pub(crate) check: bool,
}

/// Options of `shaders`.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ShadersOptions {
    pub(crate) install: bool,
    pub(crate) check: bool,
}

/// Reads the arguments behind the program's name.
pub(crate) fn parse(args: impl Iterator<Item = String>) -> Result<Command, Fault> {
    let mut args = args;
    match args.next().as_deref() {
        None | Some("help" | "--help" | "-h") => Ok(Command::Help),
        Some("demo") => parse_demo(args),
        Some("test") => parse_test(args),
        Some("userland") => parse_place("userland", args)
            .map(|(install, command)| Command::Userland(UserlandOptions { install, command })),
        Some("vm") => {
            parse_place("vm", args).map(|(install, command)| Command::Vm(VmOptions { install, command }))
        }
        Some("fuzz") => parse_fuzz(args),
        Some("instructions") => parse_instructions(args),
        Some("soak") => Ok(Command::Soak(SoakOptions { install: parse_install("soak", args)? })),
        Some("valgrind") => {
            Ok(Command::Valgrind(ValgrindOptions { install: parse_install("valgrind", args)? }))
        }
        Some("package") => Ok(Command::Package(PackageOptions { install: parse_install("package", args)? })),
        Some("web") => {
            parse_built("web", args).map(|(install, check)| Command::Web(WebOptions { install, check }))
        }
        Some("shaders") => parse_built("shaders", args)
            .map(|(install, check)| Command::Shaders(ShadersOptions { install, check })),
        Some("tidy") => match args.next() {
            None => Ok(Command::Tidy),
            Some(extra) => Err(unknown("tidy", &extra)),
        },
        Some(other) => Err(usage(format!("there is no command {other:?}"))),
    }
}

fn parse_demo(mut args: impl Iterator<Item = String>) -> Result<Command, Fault> {
    let mut options =
        DemoOptions { out: PathBuf::from("demo-out"), stream: Duration::from_secs(15), install: true };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--out" => match args.next() {
                Some(out) if !out.is_empty() => options.out = PathBuf::from(out),
                Some(_) | None => return Err(usage("--out wants a folder".to_owned())),
            },
            "--seconds" => options.stream = Duration::from_secs(parse_seconds(args.next())?),
            "--no-install" => options.install = false,
            other => return Err(unknown("demo", other)),
        }
    }
    Ok(Command::Demo(options))
}

fn parse_test(mut args: impl Iterator<Item = String>) -> Result<Command, Fault> {
    let mut options = TestOptions { install: true, runner_args: Vec::new() };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--no-install" => options.install = false,
            "--" => options.runner_args = args.by_ref().collect(),
            other => return Err(unknown("test", other)),
        }
    }
    Ok(Command::Test(options))
}

/// Of a command that runs tests elsewhere: whether it may install, and what it is to run in their place.
fn parse_place(name: &str, mut args: impl Iterator<Item = String>) -> Result<(bool, Vec<String>), Fault> {
    let (mut install, mut command) = (true, Vec::new());
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--no-install" => install = false,
            "--" => command = args.by_ref().collect(),
            other => return Err(unknown(name, other)),
        }
    }
    Ok((install, command))
}

fn parse_fuzz(mut args: impl Iterator<Item = String>) -> Result<Command, Fault> {
    let target = args.next().filter(|target| !target.is_empty() && !target.starts_with('-'));
    let target = target.ok_or_else(|| usage("`fuzz` wants the name of a target".to_owned()))?;
    let mut options = FuzzOptions { target, seconds: 60, keep: false };
    while let Some(arg) = args.next() {
        match arg.as_str() {
            "--seconds" => options.seconds = parse_seconds(args.next())?,
            "--keep" => options.keep = true,
            other => return Err(unknown("fuzz", other)),
        }
    }
    Ok(Command::Fuzz(options))
}

fn parse_instructions(args: impl Iterator<Item = String>) -> Result<Command, Fault> {
    let mut options = InstructionsOptions { install: true, renew: false };
    for arg in args {
        match arg.as_str() {
            "--renew" => options.renew = true,
            "--no-install" => options.install = false,
            other => return Err(unknown("instructions", other)),
        }
    }
    Ok(Command::Instructions(options))
}

/// Of a command that builds what the tree holds: whether it may install, and whether it only looks.
fn parse_built(name: &str, args: impl Iterator<Item = String>) -> Result<(bool, bool), Fault> {
    let (mut install, mut check) = (true, false);
    for arg in args {
        match arg.as_str() {
            "--check" => check = true,
            "--no-install" => install = false,
            other => return Err(unknown(name, other)),
        }
    }
    Ok((install, check))
}

/// Of a command that knows no other option: whether packages may be installed.
fn parse_install(command: &str, args: impl Iterator<Item = String>) -> Result<bool, Fault> {
    let mut install = true;
    for arg in args {
        match arg.as_str() {
            "--no-install" => install = false,
            other => return Err(unknown(command, other)),
        }
    }
    Ok(install)
}

fn parse_seconds(arg: Option<String>) -> Result<u64, Fault> {
    let seconds = arg.unwrap_or_default();
    match seconds.parse() {
        Ok(seconds @ 1..=3600) => Ok(seconds),
        Ok(_) | Err(_) => Err(usage(format!("--seconds wants 1 to 3600, got {seconds:?}"))),
    }
}

fn unknown(command: &str, arg: &str) -> Fault {
    usage(format!("`{command}` takes no {arg:?}"))
}

fn usage(problem: String) -> Fault {
    Fault::Usage { problem }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_words(words: &str) -> Result<Command, Fault> {
        parse(words.split_whitespace().map(str::to_owned))
    }

    #[test]
    fn commands_and_options() {
        assert_eq!(parse_words("").unwrap(), Command::Help);
        assert_eq!(parse_words("tidy").unwrap(), Command::Tidy);
        assert_eq!(
            parse_words("instructions --renew").unwrap(),
            Command::Instructions(InstructionsOptions { install: true, renew: true })
        );
        assert_eq!(
            parse_words("vm --no-install -- ip -s link").unwrap(),
            Command::Vm(VmOptions {
                install: false,
                command: ["ip", "-s", "link"].map(str::to_owned).to_vec()
            })
        );
        assert_eq!(
            parse_words("userland -- sway --version").unwrap(),
            Command::Userland(UserlandOptions {
                install: true,
                command: ["sway", "--version"].map(str::to_owned).to_vec()
            })
        );
        assert_eq!(parse_words("soak --no-install").unwrap(), Command::Soak(SoakOptions { install: false }));
        assert_eq!(
            parse_words("valgrind --no-install").unwrap(),
            Command::Valgrind(ValgrindOptions { install: false })
        );
        assert_eq!(
            parse_words("package --no-install").unwrap(),
            Command::Package(PackageOptions { install: false })
        );
        assert_eq!(
            parse_words("web --check --no-install").unwrap(),
            Command::Web(WebOptions { install: false, check: true })
        );
        assert_eq!(
            parse_words("shaders --check").unwrap(),
            Command::Shaders(ShadersOptions { install: true, check: true })
        );
        assert_eq!(
            parse_words("fuzz y4m --seconds 9 --keep").unwrap(),
            Command::Fuzz(FuzzOptions { target: "y4m".to_owned(), seconds: 9, keep: true })
        );
        assert_eq!(
            parse_words("demo --seconds 3 --out a/b --no-install").unwrap(),
            Command::Demo(DemoOptions {
                out: PathBuf::from("a/b"),
                stream: Duration::from_secs(3),
                install: false
            })
        );
        assert_eq!(
            parse_words("test --no-install -- --package fec").unwrap(),
            Command::Test(TestOptions {
                install: false,
                runner_args: vec!["--package".to_owned(), "fec".to_owned()]
            })
        );
    }

    #[test]
    fn what_is_wrong_is_named_and_ends_with_two() {
        for (words, word) in [
            ("dmeo", "dmeo"),
            ("demo --seconds", "--seconds"),
            ("demo --seconds 0", "1 to 3600"),
            ("demo --out", "--out"),
            ("demo --fast", "--fast"),
            ("instructions --fast", "--fast"),
            ("soak --fast", "--fast"),
            ("valgrind --fast", "--fast"),
            ("package --fast", "--fast"),
            ("web --fast", "--fast"),
            ("shaders --fast", "--fast"),
            ("fuzz", "target"),
            ("fuzz --keep", "target"),
            ("fuzz y4m --seconds 0", "1 to 3600"),
            ("test --fast", "--fast"),
            ("vm uname", "uname"),
            ("userland sway", "sway"),
            ("tidy now", "now"),
        ] {
            let fault = parse_words(words).unwrap_err();
            assert!(fault.to_string().contains(word), "{words}: {fault}");
            assert_eq!(fault.exit_code(), 2, "{words}");
        }
    }
}
