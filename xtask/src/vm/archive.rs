//! The file system that a kernel starts with: a "newc" cpio archive (the kernel's initramfs buffer format).
//!
//! Promises: what is put in comes out, in order, with its mode. Refuses: names that the format has no room for.

/// What an entry is, in the file-type bits of its mode.
const FOLDER: u32 = 0o040_000;
const FILE: u32 = 0o100_000;

/// An archive being written.
#[derive(Debug, Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// A folder.
    pub(super) fn folder(&mut self, name: &str) {
        self.entry(name, FOLDER | 0o755, &[]);
    }

    /// A file; everybody may run it if `runs`.
    pub(super) fn file(&mut self, name: &str, contents: &[u8], runs: bool) {
        self.entry(name, FILE | if runs { 0o755 } else { 0o644 }, contents);
    }

    /// The whole archive.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entries = 0;
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    /// A header of thirteen numbers, eight hexadecimal digits each; the name; the contents; all padded to four bytes.
    fn entry(&mut self, name: &str, mode: u32, contents: &[u8]) {
        let number = |length: usize| u32::try_from(length).expect("a kernel's first files are short");
        self.bytes.extend(b"070701");
        // Inode, mode, owner, group, links, time, length, device and special device (two numbers each), the name's
        // length with its end, no checksum.
        let numbers =
            [self.entries, mode, 0, 0, 1, 0, number(contents.len()), 0, 0, 0, 0, number(name.len() + 1), 0];
        numbers.iter().for_each(|number| self.bytes.extend(format!("{number:08x}").bytes()));
        self.bytes.extend(name.bytes().chain([0]));
        self.pad();
        self.bytes.extend(contents);
        self.pad();
        self.entries += 1;
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_is_what_the_format_says() {
        let mut archive = Archive::default();
        archive.folder("dev");
        archive.file("init", b"hello", true);
        let bytes = archive.finish();
        let text = String::from_utf8_lossy(&bytes);
        // 110 bytes of header and "dev" with its end make 114, padded to 116.
        assert!(text[..].starts_with("0707010000000000") && &text[14..22] == "000041ed");
        assert_eq!(&text[116..122], "070701");
        assert_eq!((&text[116 + 14..116 + 22], &text[116 + 54..116 + 62]), ("000081ed", "00000005"));
        // The name ends at 231 and is padded to 232; the contents follow.
        assert_eq!(&text[226..240], "init\0\0hello\0\0\0");
        assert!(text.contains("TRAILER!!!\0") && bytes.len().is_multiple_of(4));
    }
}
