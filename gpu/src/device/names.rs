//! How a device is named, by people and by other interfaces.

use std::fmt;
use std::path::Path;

use super::Description;

/// A device's UUID, the same in Vulkan and in CUDA.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Uuid(pub [u8; 16]);

impl fmt::Display for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, byte) in self.0.iter().enumerate() {
            let dash = if matches!(index, 4 | 6 | 8 | 10) { "-" } else { "" };
            write!(f, "{dash}{byte:02x}")?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Where a device is on the PCI bus.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct PciAddress {
    /// Its domain.
    pub domain: u32,
    /// Its bus.
    pub bus: u32,
    /// Its device on that bus.
    pub device: u32,
    /// Its function.
    pub function: u32,
}

impl fmt::Display for PciAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:04x}:{:02x}:{:02x}.{:x}", self.domain, self.bus, self.device, self.function)
    }
}

/// A device node of DRM's, by its numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DrmNode {
    /// The major number.
    pub major: u32,
    /// The minor number.
    pub minor: u32,
}

impl DrmNode {
    /// The node at `path`, such as `/dev/dri/renderD128`; none where there is no device node.
    #[must_use]
    pub fn at(path: &Path) -> Option<Self> {
        let stat = rustix::fs::stat(path).ok()?;
        let is_node =
            rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::CharacterDevice;
        let node = Self { major: rustix::fs::major(stat.st_rdev), minor: rustix::fs::minor(stat.st_rdev) };
        is_node.then_some(node)
    }
}

/// Which device is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Choice {
    /// The most capable one: a card, else a GPU beside the CPU, else a virtual machine's; else the CPU, which is said.
    Automatic,
    /// The one with this UUID: the encoder's.
    Uuid(Uuid),
    /// The one that is there on the bus.
    Pci(PciAddress),
    /// The one whose render node this is: the compositor's.
    RenderNode(DrmNode),
    /// The first one whose name holds these words, whatever their case.
    Name(String),
    /// Vulkan on the CPU.
    Software,
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Choice::Automatic => f.write_str("there at all"),
            Choice::Uuid(uuid) => write!(f, "the one with uuid {uuid}"),
            Choice::Pci(address) => write!(f, "at PCI {address}"),
            Choice::RenderNode(node) => write!(f, "the one of render node {}:{}", node.major, node.minor),
            Choice::Name(name) => write!(f, "called {name:?}"),
            Choice::Software => f.write_str("the CPU's (mesa-vulkan-drivers' lavapipe)"),
        }
    }
}

impl Choice {
    /// The index of the device that is meant. `devices` are sorted, the most capable first.
    pub(super) fn pick(&self, devices: &[&Description]) -> Option<usize> {
        let find = |is_it: &dyn Fn(&Description) -> bool| devices.iter().position(|device| is_it(device));
        match self {
            Choice::Automatic => find(&|device| !device.is_software).or(find(&|_| true)),
            Choice::Uuid(uuid) => find(&|device| device.uuid == *uuid),
            Choice::Pci(address) => find(&|device| device.pci == Some(*address)),
            Choice::RenderNode(node) => find(&|device| device.render_node == Some(*node)),
            Choice::Name(name) => {
                let name = name.to_lowercase();
                find(&|device| device.name.to_lowercase().contains(&name))
            }
            Choice::Software => find(&|device| device.is_software),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn device(name: &str, number: u8, is_software: bool) -> Description {
        let address = PciAddress { domain: 0, bus: number.into(), device: 0, function: 1 };
        Description {
            name: name.to_owned(),
            uuid: Uuid([number; 16]),
            pci: (!is_software).then_some(address),
            render_node: (!is_software).then_some(DrmNode { major: 226, minor: 128 + u32::from(number) }),
            driver: "a driver".to_owned(),
            vulkan: (1, 3),
            is_software,
        }
    }

    #[test]
    fn the_one_that_is_meant_is_picked_and_the_cpu_only_where_it_must_be() {
        let (cpu, card, second) =
            (device("llvmpipe", 0, true), device("Card A", 1, false), device("Card B", 2, false));
        let all = [&cpu, &card, &second];
        let pci = second.pci.unwrap();
        for (choice, expected) in [
            (Choice::Automatic, Some(1)),
            (Choice::Software, Some(0)),
            (Choice::Uuid(second.uuid), Some(2)),
            (Choice::Uuid(Uuid([9; 16])), None),
            (Choice::Pci(pci), Some(2)),
            (Choice::Pci(PciAddress { function: 0, ..pci }), None),
            (Choice::RenderNode(DrmNode { major: 226, minor: 129 }), Some(1)),
            (Choice::Name("card b".to_owned()), Some(2)),
            (Choice::Name("card c".to_owned()), None),
        ] {
            assert_eq!(choice.pick(&all), expected, "{choice}");
        }
        assert_eq!(Choice::Automatic.pick(&[&cpu]), Some(0));
        assert_eq!(Choice::Automatic.pick(&[]), None);
        assert_eq!(Choice::Software.pick(&[&card]), None);
    }

    #[test]
    fn names_are_written_as_others_write_them() {
        assert_eq!(device("x", 0x1a, false).pci.unwrap().to_string(), "0000:1a:00.1");
        assert_eq!(Uuid(*b"0123456789abcdef").to_string(), "30313233-3435-3637-3839-616263646566");
        assert_eq!(DrmNode::at(Path::new("/dev/null")), Some(DrmNode { major: 1, minor: 3 }));
        assert_eq!(DrmNode::at(Path::new("/")), None);
    }
}
