//! The built binary, started in a world, watched through what it says.

use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use tempfile::TempDir;
use tokio::time::Instant;

use super::{NODE, Output, World, eventually};

/// From exec to the `ready` line; a loaded machine and a debug build included.
pub(crate) const READY_WITHIN: Duration = Duration::from_secs(20);
const STOPPED_WITHIN: Duration = Duration::from_secs(20);

const BINARY: &str = env!("CARGO_BIN_EXE_edgesvc");

/// Where a daemon keeps its state; outlives the daemon, goes with the test.
pub(crate) struct Home {
    folder: TempDir,
}

impl Home {
    pub(crate) fn new() -> Home {
        // Below /tmp whatever TMPDIR says: a socket's path has 107 bytes.
        let folder = tempfile::Builder::new().prefix("edgesvc").tempdir_in("/tmp").expect("a directory in /tmp");
        Home { folder }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn text_path(&self, name: &str) -> String {
        self.path(name).display().to_string()
    }

    /// Writes a file and gives its path.
    pub(crate) fn file(&self, name: &str, text: &str) -> String {
        std::fs::write(self.path(name), text).expect("the test's directory is writable");
        self.text_path(name)
    }

    pub(crate) fn socket(&self) -> String {
        self.text_path("run/edgesvc.sock")
    }

    /// `edgesvc run` in the node, with this home and `flags`, not yet started.
    pub(crate) fn run_command(&self, world: &World, flags: &[&str]) -> Command {
        self.run_under(world, &[], flags)
    }

    /// The same, started by another program with its words.
    pub(crate) fn run_under(&self, world: &World, wrapper: &[&str], flags: &[&str]) -> Command {
        let mut words = wrapper.to_vec();
        words.push(BINARY);
        let mut command = world.command(NODE, words[0]);
        command.args(&words[1..]);
        command.args(["run", "--data-dir", &self.text_path("data"), "--run-dir", &self.text_path("run")]);
        command.args(flags).env("EDGESVC_LOG", "info").stdin(Stdio::null());
        command
    }

    /// Runs `edgesvc run` when it must end by itself.
    pub(crate) fn run_to_end(&self, world: &World, flags: &[&str]) -> Output {
        Output::of(self.run_command(world, flags), "")
    }

    /// A command that asks no daemon.
    pub(crate) fn tool(&self, world: &World, words: &[&str]) -> Output {
        let mut command = world.command(NODE, BINARY);
        command.args(words);
        Output::of(command, "")
    }

    /// A client command over this home's socket.
    pub(crate) fn cli(&self, world: &World, words: &[&str]) -> Output {
        self.cli_with(world, words, "")
    }

    pub(crate) fn cli_with(&self, world: &World, words: &[&str], input: &str) -> Output {
        let mut command = world.command(NODE, BINARY);
        command.args(words).args(["--socket", &self.socket()]);
        Output::of(command, input)
    }
}

/// A running daemon; killed when this value goes.
pub(crate) struct Edgesvc<'w> {
    pub(crate) world: &'w World,
    pub(crate) home: Arc<Home>,
    child: Child,
    inner: String,
    log: Arc<(Mutex<Log>, Condvar)>,
}

#[derive(Default)]
struct Log {
    text: String,
    ended: bool,
}

impl<'w> Edgesvc<'w> {
    /// Starts in a new home and waits for `ready`.
    pub(crate) fn start(world: &'w World) -> Edgesvc<'w> {
        Edgesvc::start_in(world, &Arc::new(Home::new()), &[])
    }

    /// Starts in `home` with further flags and waits for `ready`.
    pub(crate) fn start_in(world: &'w World, home: &Arc<Home>, flags: &[&str]) -> Edgesvc<'w> {
        Edgesvc::start_command(world, home, home.run_command(world, flags))
    }

    /// Starts a command made by [`Home::run_command`] and waits for `ready`.
    pub(crate) fn start_command(world: &'w World, home: &Arc<Home>, mut command: Command) -> Edgesvc<'w> {
        let mut child = command.stderr(Stdio::piped()).spawn().expect("nsenter runs");
        let log: Arc<(Mutex<Log>, Condvar)> = Arc::default();
        let lines = BufReader::new(child.stderr.take().expect("stderr is piped")).lines();
        let sink = Arc::clone(&log);
        std::thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let mut log = sink.0.lock().unwrap();
                log.text.push_str(&line);
                log.text.push('\n');
                sink.1.notify_all();
            }
            sink.0.lock().unwrap().ended = true;
            sink.1.notify_all();
        });
        let mut daemon = Edgesvc { world, home: Arc::clone(home), child, inner: String::new(), log };
        daemon.wait_for_line(READY_WITHIN, |line| line.starts_with("ready"));
        daemon.inner = World::inner_pid(&daemon.child).expect("a ready daemon runs");
        daemon
    }

    /// Waits for a line on standard error; panics with the log when none comes.
    #[track_caller]
    pub(crate) fn wait_for_line(&self, limit: Duration, wanted: impl Fn(&str) -> bool) {
        let deadline = Instant::now() + limit;
        let mut log = self.log.0.lock().unwrap();
        while !log.text.lines().any(&wanted) {
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() || log.ended {
                let what = if log.ended { "it ended" } else { "time is up" };
                let text = log.text.clone();
                drop(log);
                panic!("the expected line did not come ({what}); edgesvc said:\n{text}");
            }
            log = self.log.1.wait_timeout(log, left).unwrap().0;
        }
    }

    /// Everything on standard error so far.
    pub(crate) fn log(&self) -> String {
        self.log.0.lock().unwrap().text.clone()
    }

    /// The daemon's process id, as this process sees it.
    pub(crate) fn pid(&self) -> &str {
        &self.inner
    }

    /// Sends a signal.
    pub(crate) fn signal(&self, signal: &str) {
        let status = Command::new("kill").args([signal, &self.inner]).status().expect("kill runs");
        assert!(status.success(), "kill {signal} {}", self.inner);
    }

    /// kill -9.
    pub(crate) fn kill(mut self) {
        self.signal("-KILL");
        self.child.wait().expect("a child can be waited for");
    }

    /// SIGTERM; gives the exit code.
    pub(crate) fn stop(mut self) -> i32 {
        self.signal("-TERM");
        let child = &mut self.child;
        let log = Arc::clone(&self.log);
        let status = eventually(STOPPED_WITHIN, || match child.try_wait().expect("a child can be waited for") {
            Some(status) => Ok(status),
            None => Err(format!("still running after SIGTERM:\n{}", log.0.lock().unwrap().text)),
        });
        // Whoever waits for a room out of habit makes every restart slow.
        let text = self.log();
        assert!(!text.contains("did not end in time"), "{text}");
        status.code().unwrap_or(128)
    }

    /// A client command over the socket.
    pub(crate) fn cli(&self, words: &[&str]) -> Output {
        self.home.cli(self.world, words)
    }

    /// `edgesvc apply -f -`.
    #[track_caller]
    pub(crate) fn apply(&self, manifest: &str) -> String {
        self.home.cli_with(self.world, &["apply", "-f", "-"], manifest).ok()
    }

    /// One field of an object, by a jsonpath-like list of members: `["spec", "clusterIP"]`.
    pub(crate) fn field(&self, kind: &str, name: &str, members: &[&str]) -> Result<String, String> {
        let text = self.cli(&["get", kind, name, "-o", "json"]).result()?;
        let mut value: serde_json::Value = serde_json::from_str(&text).map_err(|error| error.to_string())?;
        for member in members {
            let next = member.parse::<usize>().map_or_else(|_| value.get(*member), |index| value.get(index));
            value = next.cloned().ok_or_else(|| format!("{kind} {name} has no {}", members.join(".")))?;
        }
        Ok(value.as_str().map_or_else(|| value.to_string(), str::to_owned))
    }

    /// The Service's cluster IP.
    #[track_caller]
    pub(crate) fn cluster_ip(&self, service: &str) -> String {
        self.field("service", service, &["spec", "clusterIP"]).unwrap()
    }

    /// The real kubectl with `admin.kubeconfig`.
    pub(crate) fn kubectl(&self, words: &[&str]) -> Output {
        self.kubectl_with(words, "")
    }

    pub(crate) fn kubectl_with(&self, words: &[&str], input: &str) -> Output {
        let mut command = self.kubectl_command();
        command.args(words);
        Output::of(command, input)
    }

    /// kubectl, not yet started; its cache lives and dies with the home.
    pub(crate) fn kubectl_command(&self) -> Command {
        // scripts/test names another than the system's.
        let kubectl = std::env::var("EDGESVC_TEST_KUBECTL").unwrap_or_else(|_| "kubectl".to_owned());
        let mut command = self.world.command(NODE, &kubectl);
        command.args(["--kubeconfig", &self.home.text_path("data/admin.kubeconfig")]);
        command.args(["--cache-dir", &self.home.text_path("kube-cache")]);
        command.env("HOME", self.home.text_path("")).env_remove("KUBECONFIG");
        command
    }

    /// A GET of the API over the socket, as curl prints it.
    pub(crate) fn http(&self, path: &str) -> Output {
        let url = format!("http://localhost{path}");
        self.world.run(NODE, &["curl", "--silent", "--show-error", "--unix-socket", &self.home.socket(), &url])
    }
}

impl Drop for Edgesvc<'_> {
    fn drop(&mut self) {
        if !self.inner.is_empty() && self.child.try_wait().is_ok_and(|status| status.is_none()) {
            drop(Command::new("kill").args(["-KILL", &self.inner]).status());
        }
        if std::thread::panicking() {
            eprintln!("--- edgesvc said:\n{}", self.log());
        }
        if self.inner.is_empty() {
            drop(self.child.kill());
        }
        drop(self.child.wait());
    }
}
