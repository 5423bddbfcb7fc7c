//! avahi, the responder of most boxes: Debian's programs, unpacked by scripts/test, not
//! installed, with a system bus of the world's own.

use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use super::support::{Output, Place, World, eventually, system_bus};

/// Where `scripts/test` puts Debian's packages.
const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/avahi");
const SOON: Duration = Duration::from_secs(20);

/// Users avahi looks for; in the world root is the only one.
const SETTING: &str = r#"
cp /etc/passwd /etc/group /run; echo 'avahi:x:0:0::/:/bin/false' >>/run/passwd; echo 'avahi:x:0:' >>/run/group
mount --bind /run/passwd /etc/passwd; mount --bind /run/group /etc/group
"#;

/// A host's avahi-daemon, and its bus.
pub(crate) struct Avahi<'w> {
    world: &'w World,
    place: Place,
    running: Vec<Child>,
}

impl<'w> Avahi<'w> {
    /// The responder of a host of this name, on one link; one of a world.
    pub(crate) fn start(world: &'w World, place: Place, link: &str, host: &str) -> Avahi<'w> {
        assert!(Path::new(FOLDER).is_dir(), "{FOLDER} is missing: run `scripts/test mdns`");
        world.run(place, &["sh", "-c", SETTING]).ok();
        let conf = format!("[server]\nhost-name={host}\nallow-interfaces={link}\n[wide-area]\nenable-wide-area=no\n");
        world.run_with(place, &["tee", "/run/avahi.conf"], &conf).ok();
        let mut avahi = Avahi { world, place, running: vec![system_bus(world, place)] };
        let mut daemon = avahi.command("sbin/avahi-daemon");
        daemon.args(["-f", "/run/avahi.conf", "--no-drop-root", "--no-chroot", "--no-rlimits", "--no-proc-title"]);
        avahi.running.push(daemon.spawn().expect("nsenter runs"));
        eventually(SOON, || avahi.tool("avahi-resolve", &["-n", &format!("{host}.local")]).result());
        avahi
    }

    /// Runs one of avahi's programs to its end.
    pub(crate) fn tool(&self, program: &str, words: &[&str]) -> Output {
        let mut command = self.command(&format!("bin/{program}"));
        command.args(words);
        Output::of(command, "")
    }

    fn command(&self, program: &str) -> Command {
        let mut command = self.world.command(self.place, "sh");
        // Whatever the architecture is.
        let script = "export LD_LIBRARY_PATH=$(echo \"$0\"/usr/lib/*-linux-*); program=$1; shift; exec \"$0/usr/$program\" \"$@\"";
        command.args(["-c", script, FOLDER, program]);
        command
    }
}

impl Drop for Avahi<'_> {
    fn drop(&mut self) {
        // The daemon ends with its bus.
        for child in self.running.iter_mut().rev() {
            if let Some(pid) = World::inner_pid(child) {
                drop(Command::new("kill").args(["-KILL", &pid]).status());
            }
            drop(child.wait());
        }
    }
}
