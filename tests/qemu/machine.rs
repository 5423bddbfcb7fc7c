//! A machine of its own: a Debian kernel under qemu, with nothing but busybox, the
//! built binary and the programs of the tests.

use std::fs::{self, File, OpenOptions};
use std::io::{BufRead as _, BufReader, BufWriter, Write as _};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::Duration;

use tempfile::TempDir;

use super::initramfs::Archive;
use crate::support::{CLIENT, Place, eventually};

/// From power to the first command, emulated on a loaded machine.
const BOOT_WITHIN: Duration = Duration::from_secs(120);
/// A command's longest run in the guest, and what the answer may take beside it.
const COMMAND_SECONDS: u64 = 60;
const ANSWER_WITHIN: Duration = Duration::from_secs(COMMAND_SECONDS + 30);
/// A debug build on an emulated processor takes some seconds to be ready; beside busy
/// clients, and on a loaded machine, minutes.
const READY_WITHIN: Duration = Duration::from_secs(240);
/// An emulated processor whose clock counts its instructions, two nanoseconds each, and runs with ours only while
/// it idles: on a loaded machine it is late, but not by its own clock. With a clock of ours a kernel that was
/// interrupted while it measured its processor has a second four times too short, and patience with it.
const EMULATED: [&str; 6] = ["-accel", "tcg", "-cpu", "Nehalem", "-icount", "shift=1"];
const MEMORY_MB: &str = "640";
/// Lines of the console, and of the daemon's log, that a failed test shows.
const TAIL_LINES: usize = 60;
/// Where scripts/qemu-kernels put everything.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/qemu");

/// The node itself: where a machine's commands run.
pub(crate) use crate::support::NODE;

/// A kernel that Debian ships.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Kernel {
    suite: &'static str,
    /// The beginning of what `uname -r` says.
    pub(crate) version: &'static str,
    /// It has tables that nobody else can change (Linux 6.9).
    pub(crate) guards_tables: bool,
}

pub(crate) const DEBIAN_11: Kernel = Kernel { suite: "bullseye", version: "5.10.", guards_tables: false };
pub(crate) const DEBIAN_12: Kernel = Kernel { suite: "bookworm", version: "6.1.", guards_tables: false };
pub(crate) const DEBIAN_13: Kernel = Kernel { suite: "trixie", version: "6.12.", guards_tables: true };
pub(crate) const DEBIAN_TESTING: Kernel = Kernel { suite: "forky", version: "", guards_tables: true };

/// How a program in the machine ended, and what it said on both outputs.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) text: String,
}

/// What clients that run in the background told at their end.
#[derive(Debug)]
pub(crate) struct Asked {
    pub(crate) asked: u64,
    pub(crate) failed: u64,
    /// What was said, with the longest wait in milliseconds.
    pub(crate) said: String,
}

/// `edgesvc doctor` of the daemon that [`Machine::start`] starts; a server to forward to is
/// named because a machine has none.
pub(crate) const DOCTOR: &str =
    "/edgesvc/edgesvc doctor --data-dir /data --run-dir /run/edgesvc --upstream-dns 192.0.2.1";

/// A running machine; its power is cut when this value goes.
pub(crate) struct Machine {
    qemu: Child,
    line: ChildStdin,
    answers: Receiver<String>,
    folder: TempDir,
    has_ipv6: bool,
}

impl Machine {
    /// Boots a kernel with the world of `tests/support/world.sh` around the node.
    pub(crate) fn boot(kernel: Kernel) -> Machine {
        Machine::boot_with(kernel, "world")
    }

    /// Boots with these words on the kernel's command line.
    pub(crate) fn boot_with(kernel: Kernel, words: &str) -> Machine {
        let from = Path::new(FOLDER).join(kernel.suite);
        assert!(from.is_dir(), "no {}: `scripts/test qemu` downloads the kernels", from.display());
        let folder = tempfile::tempdir().expect("a directory");
        let (archive, console) = (folder.path().join("initramfs"), folder.path().join("console"));
        pack(kernel, &archive).expect("the archive can be written");
        let serial = format!("file:{}", console.display());
        let mut command = Command::new("qemu-system-x86_64");
        command.args(["-nodefaults", "-display", "none", "-no-reboot", "-m", MEMORY_MB]);
        command.args(if has_kvm() { &["-accel", "kvm", "-cpu", "host"][..] } else { &EMULATED[..] });
        command.arg("-kernel").arg(from.join("vmlinuz")).arg("-initrd").arg(archive);
        // An emulated timer that comes late on a loaded machine is not taken for a broken one.
        let fixed = "console=ttyS0 panic=-1 loglevel=4 no_timer_check rcupdate.rcu_cpu_stall_suppress=1";
        command.args(["-append", &format!("{fixed} {words}")]);
        command.args(["-serial", &serial, "-chardev", "stdio,id=line,signal=off"]);
        command.args(["-device", "virtio-serial-pci", "-device", "virtserialport,chardev=line,name=line"]);
        let mut qemu = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("qemu-system-x86_64 runs");
        let line = qemu.stdin.take().expect("stdin is piped");
        let (sender, answers) = channel();
        let lines = BufReader::new(qemu.stdout.take().expect("stdout is piped")).lines();
        std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| sender.send(line)));
        let has_ipv6 = !words.contains("ipv6.disable=1");
        let machine = Machine { qemu, line, answers, folder, has_ipv6 };
        let first = machine.next_line(BOOT_WITHIN);
        assert_eq!(first, Ok("ready".to_owned()), "{} does not come up", kernel.suite);
        machine
    }

    /// Runs shell commands in the node.
    pub(crate) fn sh(&mut self, script: &str) -> Said {
        self.ask(script, ANSWER_WITHIN).unwrap_or_else(|why| panic!("`{script}`: {why}"))
    }

    /// What shell commands in the node say that must succeed.
    #[track_caller]
    pub(crate) fn ok(&mut self, script: &str) -> String {
        let said = self.sh(script);
        assert_eq!(said.code, 0, "`{script}` failed:\n{}", said.text);
        said.text
    }

    /// Starts the daemon with these flags and waits until it is ready. It sees no
    /// program of the machine but itself.
    pub(crate) fn start(&mut self, flags: &str) {
        let words = format!("run --data-dir /data --run-dir /run/edgesvc {flags}");
        self.ok(&format!(
            ": >/tmp/log\nenv -i PATH=/nowhere EDGESVC_LOG=info /edgesvc/edgesvc {words} 2>>/tmp/log >/dev/null &\n\
             echo $! >/tmp/pid"
        ));
        eventually(READY_WITHIN, || {
            let said = self.sh("grep -q ^ready /tmp/log || { kill -0 $(cat /tmp/pid) && exit 1; exit 2; }");
            assert_ne!(said.code, 2, "the daemon ended:\n{}{}", said.text, self.log());
            if said.code == 0 { Ok(()) } else { Err("not ready".to_owned()) }
        });
    }

    /// kill -9 of the daemon.
    pub(crate) fn kill(&mut self) {
        self.ok("kill -9 $(cat /tmp/pid); while kill -0 $(cat /tmp/pid) 2>/dev/null; do usleep 10000; done");
    }

    /// What the daemon said since its start.
    pub(crate) fn log(&mut self) -> String {
        self.ok("cat /tmp/log")
    }

    /// `edgesvc apply -f -`.
    #[track_caller]
    pub(crate) fn apply(&mut self, manifest: &str) {
        self.ok(&format!(
            "cat >/tmp/manifest <<'END OF MANIFEST'\n{manifest}\nEND OF MANIFEST\n\
             /edgesvc/edgesvc apply -f /tmp/manifest --socket /run/edgesvc/edgesvc.sock"
        ));
    }

    /// Starts a server at a place that answers with the place's name.
    pub(crate) fn serve(&mut self, place: Place, proto: &str, port: u16) {
        // The lists of sockets: one for each family, SCTP's holds both.
        let (files, listens) = match proto {
            "sctp" => ("/proc/net/sctp/eps".to_owned(), format!(" {port} ")),
            _ => (format!("/proc/net/{proto} /proc/net/{proto}6"), format!(":{port:04X} ")),
        };
        self.ok(&format!("{} peer serve {place} {proto} {port} >/dev/null 2>&1 &", inside(place)));
        eventually(ANSWER_WITHIN, || {
            let said = self.sh(&format!("{} cat {files} 2>/dev/null", inside(place))).text;
            let count = if self.has_ipv6 { 2 } else { 1 };
            if said.lines().filter(|line| line.contains(&listens)).count() >= count { Ok(()) } else { Err(said) }
        });
    }

    /// The answers to so many questions from a place, each in a connection of its own.
    pub(crate) fn ask_from(&mut self, place: Place, proto: &str, at: &str, port: u16, count: usize) -> Said {
        self.sh(&format!("{} peer ask {proto} {at} {port} {count}", inside(place)))
    }

    /// Starts clients on port 80 at the world's client, by verb, protocol and address, and
    /// waits until each has its first answer.
    pub(crate) fn begin(&mut self, work: &[(&str, &str, &str)]) -> usize {
        let mut script = "rm -f /tmp/enough /tmp/work.*\n".to_owned();
        for (number, (verb, proto, at)) in work.iter().enumerate() {
            let peer = format!("{} peer {verb} {proto} {at} 80 /tmp/enough", inside(CLIENT));
            script += &format!("{{ echo {verb} {proto} {at}; {peer}; echo ended $?; }} >/tmp/work.{number} 2>&1 &\n");
        }
        self.ok(&script);
        eventually(ANSWER_WITHIN, || {
            let said = self.ok("cat /tmp/work.*");
            if said.lines().filter(|line| *line == "begun").count() >= work.len() { Ok(()) } else { Err(said) }
        });
        work.len()
    }

    /// Ends the clients of [`Machine::begin`].
    pub(crate) fn end(&mut self, count: usize) -> Vec<Asked> {
        self.ok("touch /tmp/enough");
        let ended = (0..count).map(|number| {
            let said = eventually(ANSWER_WITHIN, || {
                let said = self.ok(&format!("cat /tmp/work.{number}"));
                if said.contains("ended ") { Ok(said) } else { Err(said) }
            });
            let numbers = said.lines().find(|line| line.starts_with("asked ")).unwrap_or_default();
            let number = |at: usize| numbers.split(' ').nth(at).and_then(|word| word.parse().ok());
            // Who says nothing broke.
            Asked { asked: number(1).unwrap_or(0), failed: number(3).unwrap_or(1), said }
        });
        ended.collect()
    }

    /// Takes modules away, by name, with `*` for any ending: to the kernel they were never built.
    pub(crate) fn hide(&mut self, modules: &[&str]) {
        for module in modules {
            let moved = self.ok(&format!(
                "find /lib/modules -name '{module}.ko' -exec mv {{}} {{}}.hidden \\; -exec echo {{}} \\;"
            ));
            assert!(!moved.trim().is_empty(), "this kernel has no module {module}");
        }
    }

    fn ask(&mut self, script: &str, limit: Duration) -> Result<Said, String> {
        writeln!(self.line, "{script}\n%%end").and_then(|()| self.line.flush()).map_err(|error| error.to_string())?;
        let mut text = String::new();
        loop {
            let line = self.next_line(limit)?;
            if let Some(code) = line.strip_prefix("%%end ") {
                let code = code.trim().parse().map_err(|_| format!("no exit code: {line}"))?;
                // The line's own end before the mark.
                return Ok(Said { code, text: text.strip_suffix('\n').unwrap_or(&text).to_owned() });
            }
            text.push_str(&line);
            text.push('\n');
        }
    }

    fn next_line(&self, limit: Duration) -> Result<String, String> {
        self.answers.recv_timeout(limit).map_err(|error| match error {
            RecvTimeoutError::Timeout => format!("no answer within {limit:?}"),
            RecvTimeoutError::Disconnected => "the machine ended".to_owned(),
        })
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let log = self.ask("tail -n 60 /tmp/log", Duration::from_secs(10)).map_or_else(|why| why, |said| said.text);
            eprintln!("--- edgesvc said:\n{log}");
            let console = fs::read(self.folder.path().join("console")).unwrap_or_default();
            let console = String::from_utf8_lossy(&console);
            let lines: Vec<&str> = console.lines().collect();
            eprintln!("--- the console's end:\n{}", lines[lines.len().saturating_sub(TAIL_LINES)..].join("\n"));
        }
        drop(self.qemu.kill());
        drop(self.qemu.wait());
    }
}

/// How a command enters a place.
fn inside(place: Place) -> String {
    if place == NODE { String::new() } else { format!("nsenter --net=/run/netns/{place}") }
}

/// Whether the processor can run machines itself. A /dev/kvm alone says too little:
/// where the box is a virtual machine itself it may be there and take no such kernel.
fn has_kvm() -> bool {
    let cpu = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let flags = cpu.lines().find(|line| line.starts_with("flags")).unwrap_or_default();
    flags.split_whitespace().any(|flag| matches!(flag, "vmx" | "svm"))
        && OpenOptions::new().read(true).write(true).open("/dev/kvm").is_ok()
}

fn pack(kernel: Kernel, path: &Path) -> std::io::Result<()> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let from = Path::new(FOLDER);
    let mut archive = Archive::new(BufWriter::new(File::create(path)?));
    archive.file(Path::new("/init"), include_bytes!("init.sh"))?;
    archive.copy(&here.join("tests/support/world.sh"), Path::new("/world.sh"))?;
    archive.copy(&from.join("busybox"), Path::new("/bin/busybox"))?;
    archive.tree(&from.join(kernel.suite).join("lib/modules"), Path::new("/lib/modules"))?;
    let made = made();
    archive.program(&made.join("edgesvc"), Path::new("/edgesvc/edgesvc"))?;
    archive.copy(&made.join("peer"), Path::new("/bin/peer"))?;
    for program in ["ip", "nft"] {
        archive.program(&on_path(program), &Path::new("/foreign/bin").join(program))?;
    }
    archive.finish()
}

/// What is made once for all machines: the binary without what only debuggers read,
/// and the clients and servers.
fn made() -> &'static Path {
    static MADE: OnceLock<PathBuf> = OnceLock::new();
    MADE.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("qemu");
        fs::create_dir_all(&folder).expect("target is writable");
        let run = |program: &str, words: &[&str]| {
            let status = Command::new(program).args(words).current_dir(env!("CARGO_MANIFEST_DIR")).status();
            assert!(status.is_ok_and(|status| status.success()), "{program} {words:?}");
        };
        let at = |name: &str| folder.join(name).display().to_string();
        run("strip", &["-o", &at("edgesvc"), env!("CARGO_BIN_EXE_edgesvc")]);
        run("cc", &["-static", "-O1", "-Wall", "-Wextra", "-Werror", "-o", &at("peer"), "tests/qemu/peer.c"]);
        folder
    })
}

fn on_path(program: &str) -> PathBuf {
    let path = std::env::var("PATH").unwrap_or_default();
    let folders = path.split(':').chain(["/usr/sbin", "/sbin"]);
    let found = folders.map(|folder| Path::new(folder).join(program)).find(|file| file.is_file());
    found.unwrap_or_else(|| panic!("no {program} on PATH"))
}
