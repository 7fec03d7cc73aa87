//! The links of the chain, in a picture's order.

use std::time::Duration;

use crate::limits::{ASKING_MAX, COMPOSITORS_MAX, LIBRARY_MAX, LOOK_MAX};
use crate::{
    Verdict, View, clocks, compositor, cores, discovery, encoder, firewall, gpu, mtu, pipewire, portal,
    settings, trust, udp,
};

/// One link of the chain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Link {
    /// The folder of the login's sockets.
    RuntimeDir,
    /// The desktop that is running.
    Desktop,
    /// The compositors that a virtual display can be had of.
    Compositors,
    /// The login's D-Bus.
    SessionBus,
    /// The portal that shows a screen.
    Portal,
    /// PipeWire.
    Pipewire,
    /// The GPU's door for programs without a screen.
    RenderNode,
    /// The GPU's driver.
    GpuDriver,
    /// Vulkan's loader and devices.
    Vulkan,
    /// A producer's buffers as Vulkan's images.
    Dmabuf,
    /// What Vulkan shares with the encoder.
    Sharing,
    /// NVIDIA's CUDA.
    Cuda,
    /// The one GPU of Vulkan and CUDA.
    SameGpu,
    /// NVIDIA's encoder.
    Nvenc,
    /// What it makes.
    NvencCodecs,
    /// NVIDIA's decoder.
    Nvdec,
    /// The encoder that pictures go through.
    Encoder,
    /// What there is to compute with.
    Cores,
    /// Leave to be scheduled before others.
    Realtime,
    /// Leave to keep memory from being swapped.
    LockedMemory,
    /// The clock that stages are timed by.
    Clock,
    /// The wall clock.
    ClockSync,
    /// The host's UDP port.
    UdpPort,
    /// IPv6 beside IPv4.
    Ipv6,
    /// What the kernel keeps for the socket.
    UdpBuffers,
    /// Trains that the kernel cuts.
    Gso,
    /// How long a datagram may be.
    Mtu,
    /// What is filtered away.
    Firewall,
    /// How clients find the host.
    Discovery,
    /// What the host is told.
    Settings,
    /// Who the host is.
    Identity,
    /// The dates of its certificate.
    Certificate,
    /// Who may connect.
    Devices,
    /// The console and the commands.
    Console,
}

impl Link {
    /// All of them.
    pub const ALL: [Self; 34] = [
        Self::RuntimeDir,
        Self::Desktop,
        Self::Compositors,
        Self::SessionBus,
        Self::Portal,
        Self::Pipewire,
        Self::RenderNode,
        Self::GpuDriver,
        Self::Vulkan,
        Self::Dmabuf,
        Self::Sharing,
        Self::Cuda,
        Self::SameGpu,
        Self::Nvenc,
        Self::NvencCodecs,
        Self::Nvdec,
        Self::Encoder,
        Self::Cores,
        Self::Realtime,
        Self::LockedMemory,
        Self::Clock,
        Self::ClockSync,
        Self::UdpPort,
        Self::Ipv6,
        Self::UdpBuffers,
        Self::Gso,
        Self::Mtu,
        Self::Firewall,
        Self::Discovery,
        Self::Settings,
        Self::Identity,
        Self::Certificate,
        Self::Devices,
        Self::Console,
    ];

    /// Its name in a diagnosis.
    pub fn name(self) -> &'static str {
        match self {
            Self::RuntimeDir => "runtime-dir",
            Self::Desktop => "desktop",
            Self::Compositors => "compositors",
            Self::SessionBus => "session-bus",
            Self::Portal => "portal",
            Self::Pipewire => "pipewire",
            Self::RenderNode => "render-node",
            Self::GpuDriver => "gpu-driver",
            Self::Vulkan => "vulkan",
            Self::Dmabuf => "dmabuf",
            Self::Sharing => "gpu-sharing",
            Self::Cuda => "cuda",
            Self::SameGpu => "same-gpu",
            Self::Nvenc => "nvenc",
            Self::NvencCodecs => "nvenc-codecs",
            Self::Nvdec => "nvdec",
            Self::Encoder => "encoder",
            Self::Cores => "cores",
            Self::Realtime => "realtime",
            Self::LockedMemory => "locked-memory",
            Self::Clock => "clock",
            Self::ClockSync => "clock-sync",
            Self::UdpPort => "udp-port",
            Self::Ipv6 => "ipv6",
            Self::UdpBuffers => "udp-buffers",
            Self::Gso => "gso",
            Self::Mtu => "mtu",
            Self::Firewall => "firewall",
            Self::Discovery => "discovery",
            Self::Settings => "settings",
            Self::Identity => "identity",
            Self::Certificate => "certificate",
            Self::Devices => "devices",
            Self::Console => "console",
        }
    }

    /// What is looked at, in a line of the manual.
    pub fn looks_at(self) -> &'static str {
        match self {
            Self::RuntimeDir => "`XDG_RUNTIME_DIR`: there, ours, closed to others",
            Self::Desktop => "the socket that `WAYLAND_DISPLAY` names: whether its compositor answers",
            Self::Compositors => "the compositors that are installed, and their versions",
            Self::SessionBus => "the login's D-Bus: whether it answers",
            Self::Portal => {
                "who has `org.freedesktop.portal.Desktop`, and whether it hands out screens, or GNOME's own door, \
                 `org.gnome.Mutter.ScreenCast`; none is asked for"
            }
            Self::Pipewire => "PipeWire's socket, and the version that its daemon names",
            Self::RenderNode => {
                "`/dev/dri/renderD*`: there, and open to this user (what dmabufs are shared by)"
            }
            Self::GpuDriver => "the GPUs on the bus, each one's driver and its version",
            Self::Vulkan => "Vulkan's loader, and its devices with their drivers",
            Self::Dmabuf => "the formats and modifiers in which Vulkan's device imports dmabufs",
            Self::Sharing => "whether Vulkan's device exports timeline semaphores, and its work's priority",
            Self::Cuda => "`libcuda`: loads, fits the kernel's driver, is new enough, and its devices",
            Self::SameGpu => "whether a device of Vulkan's is one of CUDA's, by UUID",
            Self::Nvenc => "`libnvidia-encode`: loads, fits, and the interface it knows",
            Self::NvencCodecs => {
                "codecs and sizes that the encoder makes, and what it can do with a loss: of the first card that has one"
            }
            Self::Nvdec => "`libnvcuvid`: loads, and fits; for a client on this machine",
            Self::Encoder => "the time that a picture of 1920×1080 takes to be encoded here",
            Self::Cores => "cores that this program may use, and AES instructions",
            Self::Realtime => "whether `SCHED_FIFO` is given",
            Self::LockedMemory => "how much memory may be locked",
            Self::Clock => "the kernel's clock source, and what reading it takes",
            Self::ClockSync => "whether the wall clock is kept in step with the world's",
            Self::UdpPort => "whether the host's port is free, or who holds it",
            Self::Ipv6 => "whether a socket speaks both families",
            Self::UdpBuffers => "the buffers that the kernel grants",
            Self::Gso => "whether the kernel cuts trains, tried over loopback",
            Self::Mtu => "the MTU of each network device that is up, with an address or a route",
            Self::Firewall => "a datagram to the port over loopback, and the rules, where they may be read",
            Self::Discovery => {
                "inside a running host whether it is announced; else UDP port 5353, and a device that speaks multicast"
            }
            Self::Settings => {
                "the file of settings and the variables: whether the host takes them; the other links are looked at by \
                 what they say, and by defaults where they are wrong"
            }
            Self::Identity => "the host's key and its folder: whole, and closed to others",
            Self::Certificate => "the dates of its certificate",
            Self::Devices => "the list of paired devices: whole, and closed to others",
            Self::Console => "the console's address and its token",
        }
    }

    /// What it costs where it is not so, in a line of the manual.
    pub fn costs(self) -> &'static str {
        match self {
            Self::RuntimeDir => "neither desktop, PipeWire nor portal are found",
            Self::Desktop => "no running desktop is shown; a headless sway, or the test card",
            Self::Compositors => "no virtual display of the client's own size",
            Self::SessionBus => {
                "neither the portal nor GNOME's own door: GNOME's and KDE's screens cannot be shown"
            }
            Self::Portal => "KDE's screens cannot be shown, nor GNOME's where neither is there; sway's can",
            Self::Pipewire => "GNOME's and KDE's screens cannot be shown, by whichever door; sway's can",
            Self::RenderNode => "pictures are copied through main memory",
            Self::GpuDriver => "pictures are encoded by the CPU, whose time they take",
            Self::Vulkan => "pictures are converted and encoded by the CPU",
            Self::Dmabuf => "pictures are copied through main memory, and uploaded",
            Self::Sharing => "pictures are encoded by the CPU; or wait for games' and desktops' work",
            Self::Cuda | Self::Nvenc | Self::NvencCodecs => {
                "no encoder of NVIDIA's: pictures are encoded by the CPU"
            }
            Self::SameGpu => "NVENC takes no pictures: they are encoded by the CPU",
            Self::Nvdec => "a client on this machine decodes by the CPU",
            Self::Encoder => "fewer pictures a second, or smaller ones",
            Self::Cores => "both stages on one thread; ChaCha20 in place of AES",
            Self::Realtime => "a busy machine's pictures wait for its other programs",
            Self::LockedMemory => "a page that was swapped out holds a picture up",
            Self::Clock => "time is lost with each datagram that is timed",
            Self::ClockSync => "certificates and logs have wrong dates; latency figures are not affected",
            Self::UdpPort => "the host does not start",
            Self::Ipv6 => "clients that speak IPv6 only do not reach it",
            Self::UdpBuffers => "a busy device loses the rest of a picture",
            Self::Gso => "a system call for each few datagrams: more CPU time at high rates",
            Self::Mtu => "more datagrams for each picture; below 1248 bytes no session by that device",
            Self::Firewall => "clients do not reach the host",
            Self::Discovery => "clients have to be told the host's address",
            Self::Settings => "the host does not start; a variable that means nothing changes nothing",
            Self::Identity => "the host does not start",
            Self::Certificate => "every client refuses the host",
            Self::Devices => "the host does not start",
            Self::Console => "no console, and no commands that speak to the running host",
        }
    }

    /// How long its look may take.
    pub(crate) fn deadline(self) -> Duration {
        match self {
            Self::Compositors => COMPOSITORS_MAX,
            Self::Desktop | Self::SessionBus | Self::Portal | Self::Pipewire => ASKING_MAX,
            Self::Vulkan
            | Self::Dmabuf
            | Self::Sharing
            | Self::Cuda
            | Self::SameGpu
            | Self::Nvenc
            | Self::NvencCodecs
            | Self::Nvdec
            | Self::Encoder => LIBRARY_MAX,
            Self::RuntimeDir
            | Self::RenderNode
            | Self::GpuDriver
            | Self::Cores
            | Self::Realtime
            | Self::LockedMemory
            | Self::Clock
            | Self::ClockSync
            | Self::UdpPort
            | Self::Ipv6
            | Self::UdpBuffers
            | Self::Gso
            | Self::Mtu
            | Self::Firewall
            | Self::Discovery
            | Self::Settings
            | Self::Identity
            | Self::Certificate
            | Self::Devices
            | Self::Console => LOOK_MAX,
        }
    }

    /// Whether its look asks somebody who may not answer; one that asks nobody is late on a busy machine only.
    pub(crate) fn asks(self) -> bool {
        match self {
            Self::Encoder
            | Self::Cores
            | Self::Realtime
            | Self::LockedMemory
            | Self::Clock
            | Self::ClockSync => false,
            Self::RuntimeDir
            | Self::Desktop
            | Self::Compositors
            | Self::SessionBus
            | Self::Portal
            | Self::Pipewire
            | Self::RenderNode
            | Self::GpuDriver
            | Self::Vulkan
            | Self::Dmabuf
            | Self::Sharing
            | Self::Cuda
            | Self::SameGpu
            | Self::Nvenc
            | Self::NvencCodecs
            | Self::Nvdec
            | Self::UdpPort
            | Self::Ipv6
            | Self::UdpBuffers
            | Self::Gso
            | Self::Mtu
            | Self::Firewall
            | Self::Discovery
            | Self::Settings
            | Self::Identity
            | Self::Certificate
            | Self::Devices
            | Self::Console => true,
        }
    }

    /// Looks at it.
    pub(crate) fn look(self, view: &View) -> Verdict {
        match self {
            Self::RuntimeDir => compositor::runtime_dir(view),
            Self::Desktop => compositor::desktop(view),
            Self::Compositors => compositor::compositors(),
            Self::SessionBus => portal::session_bus(view),
            Self::Portal => portal::portal(view),
            Self::Pipewire => pipewire::pipewire(view),
            Self::RenderNode => gpu::render_node(view),
            Self::GpuDriver => gpu::driver(view),
            Self::Vulkan => gpu::vulkan(view),
            Self::Dmabuf => gpu::dmabuf(view),
            Self::Sharing => gpu::sharing(view),
            Self::Cuda => gpu::cuda(view),
            Self::SameGpu => gpu::same_gpu(view),
            Self::Nvenc => gpu::nvenc(view),
            Self::NvencCodecs => gpu::nvenc_codecs(view),
            Self::Nvdec => gpu::nvdec(view),
            Self::Encoder => encoder::encoder(),
            Self::Cores => cores::cores(view),
            Self::Realtime => cores::realtime(view),
            Self::LockedMemory => cores::locked_memory(view),
            Self::Clock => clocks::clock(view),
            Self::ClockSync => clocks::clock_sync(),
            Self::UdpPort => udp::port(view),
            Self::Ipv6 => udp::ipv6(view),
            Self::UdpBuffers => udp::buffers(),
            Self::Gso => udp::gso(),
            Self::Mtu => mtu::mtu(view),
            Self::Firewall => firewall::firewall(view),
            Self::Discovery => discovery::discovery(view),
            Self::Settings => settings::settings(view),
            Self::Identity => trust::identity(view),
            Self::Certificate => trust::certificate(view),
            Self::Devices => trust::devices(view),
            Self::Console => trust::console(view),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_link_has_a_name_of_its_own() {
        let names: BTreeSet<_> = Link::ALL.iter().map(|link| link.name()).collect();
        assert_eq!(names.len(), Link::ALL.len());
    }
}
