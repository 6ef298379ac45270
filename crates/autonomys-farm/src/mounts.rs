//! Which file system a directory is on, and whether the one that belongs there is away.

use std::fs;
use std::path::{Path, PathBuf};

/// A file system that is mounted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mount {
    /// Where.
    pub mount_point: PathBuf,
    /// Its type, as in `ext4`.
    pub kind: String,
}

/// The file system of a directory, which need not be there yet; `None` where `/proc` does not tell.
pub fn mount_of(directory: &Path) -> Option<Mount> {
    let mounts = mounted(&fs::read_to_string("/proc/self/mountinfo").ok()?);
    let directory = absolute(directory)?;
    // Of several at one place the last one covers the others.
    mounts
        .into_iter()
        .filter(|mount| directory.starts_with(&mount.mount_point))
        .max_by_key(|mount| mount.mount_point.components().count())
}

/// The mount point that the directory is at or below, when `/etc/fstab` names it and nothing is mounted there.
pub fn missing_mount(directory: &Path) -> Option<PathBuf> {
    let fstab = fs::read_to_string("/etc/fstab").ok()?;
    let mountinfo = fs::read_to_string("/proc/self/mountinfo").ok()?;
    missing(&absolute(directory)?, &fstab, &mountinfo)
}

fn absolute(directory: &Path) -> Option<PathBuf> {
    let absolute = std::path::absolute(directory).ok()?;
    Some(absolute.canonicalize().unwrap_or(absolute))
}

fn missing(directory: &Path, fstab: &str, mountinfo: &str) -> Option<PathBuf> {
    let mounted = mounted(mountinfo);
    let belongs = fstab
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'))
        .filter_map(|line| line.split_whitespace().nth(1))
        .map(|field| PathBuf::from(unescape(field)))
        .filter(|place| place.is_absolute() && directory.starts_with(place))
        .max_by_key(|place| place.components().count())?;
    let is_root = belongs.parent().is_none();
    let is_mounted = mounted.iter().any(|mount| mount.mount_point == belongs);
    (!is_root && !is_mounted).then_some(belongs)
}

/// Lines of `proc_pid_mountinfo(5)`: the fifth field is the mount point, the type is the first one behind the dash.
fn mounted(mountinfo: &str) -> Vec<Mount> {
    let parse = |line: &str| {
        let (front, back) = line.split_once(" - ")?;
        Some(Mount {
            mount_point: PathBuf::from(unescape(front.split(' ').nth(4)?)),
            kind: back.split(' ').next()?.to_string(),
        })
    };
    mountinfo.lines().filter_map(parse).collect()
}

/// Blanks and the like are written as a backslash and three octal digits.
fn unescape(field: &str) -> String {
    let mut text = String::with_capacity(field.len());
    let mut rest = field;
    while let Some(place) = rest.find('\\') {
        text.push_str(&rest[..place]);
        let code = rest
            .get(place + 1..place + 4)
            .and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => {
                text.push(char::from(code));
                rest = &rest[place + 4..];
            }
            None => {
                text.push('\\');
                rest = &rest[place + 1..];
            }
        }
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use super::*;

    const FSTAB: &str = "# <file system> <mount point> <type>\n\
        UUID=1 / ext4 defaults 0 1\n\
        UUID=2 none swap sw 0 0\n\
        #UUID=3 /mnt/old ext4 defaults 0 2\n\
        UUID=4\t/mnt/nvme0n1\text4\tdefaults,nofail 0 2\n\
        UUID=5 /mnt/with\\040blank xfs nofail 0 2\n\n";
    const MOUNTINFO: &str = "22 1 259:2 / / rw,relatime shared:1 - ext4 /dev/nvme9n1p2 rw\n\
        30 22 0:5 / /proc rw - proc proc rw\n";
    const NVME: &str = "31 22 259:3 / /mnt/nvme0n1 rw shared:2 - ext4 /dev/nvme0n1 rw\n";
    const BLANK: &str = "32 22 259:4 / /mnt/with\\040blank rw - xfs /dev/nvme1n1 rw\n";

    #[test]
    fn a_disk_that_is_away_is_told_by_its_mount_point() {
        let missing = |directory: &str, mountinfo: &str| missing(Path::new(directory), FSTAB, mountinfo);
        assert_eq!(
            missing("/mnt/nvme0n1", MOUNTINFO),
            Some(PathBuf::from("/mnt/nvme0n1"))
        );
        assert_eq!(
            missing("/mnt/nvme0n1/farm", MOUNTINFO),
            Some(PathBuf::from("/mnt/nvme0n1"))
        );
        let both = format!("{MOUNTINFO}{NVME}");
        assert_eq!(missing("/mnt/nvme0n1/farm", &both), None);
        assert_eq!(
            missing("/mnt/with blank", &both),
            Some(PathBuf::from("/mnt/with blank"))
        );
        assert_eq!(missing("/mnt/with blank", &format!("{both}{BLANK}")), None);
        for elsewhere in ["/mnt/old", "/mnt/nvme0n10", "/var/farm", "/"] {
            assert_eq!(missing(elsewhere, MOUNTINFO), None, "{elsewhere}");
        }
    }

    #[test]
    fn the_file_system_of_a_directory_is_found_before_it_is_made() {
        let mount = mount_of(Path::new("/proc/nothing/of/that/name")).expect("proc is mounted");
        assert_eq!(
            (mount.mount_point.as_path(), mount.kind.as_str()),
            (Path::new("/proc"), "proc")
        );
    }
}
