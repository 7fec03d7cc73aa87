//! The compositor's outputs, and the one that is captured.
//!
//! Promises: a mode has even sides and a refresh within bounds, whatever an output tells. Refuses: names that no output
//! has.

use wayland_client::WEnum;
use wayland_client::protocol::wl_output::{self, WlOutput};

use crate::limits::{REFRESH_MHZ_MAX, REFRESH_MHZ_MIN};
use crate::{Diagnosis, Mode, ModeError};

/// What an output that does not tell its refresh (a nested one, say) is taken for, in millihertz.
const REFRESH_UNTOLD_MHZ: u32 = 60_000;

/// An output that was announced.
#[derive(Debug)]
struct Output {
    /// Its number in the registry.
    global: u32,
    wl_output: WlOutput,
    name: Option<String>,
    /// Width and height in pixels, refresh in millihertz.
    mode: Option<(u32, u32, u32)>,
}

/// Those that are there.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    list: Vec<Output>,
    /// The one that is captured: its number in the registry.
    chosen: Option<u32>,
}

impl Outputs {
    /// One was announced, as number `global`.
    pub(super) fn add(&mut self, global: u32, wl_output: WlOutput) {
        self.list.push(Output { global, wl_output, name: None, mode: None });
    }

    /// What was announced as number `global`, an output or not, is gone; the fault, where it is the one that is captured.
    pub(super) fn remove(&mut self, global: u32) -> Option<Diagnosis> {
        let fault = (self.chosen == Some(global)).then(|| Diagnosis::OutputRemoved { output: self.name() });
        self.list.retain(|output| output.global != global);
        fault
    }

    /// Number `global` tells something of itself.
    pub(super) fn tell(&mut self, global: u32, event: wl_output::Event) {
        let Some(output) = self.list.iter_mut().find(|output| output.global == global) else { return };
        match event {
            wl_output::Event::Name { name } => output.name = Some(name),
            wl_output::Event::Mode { flags: WEnum::Value(flags), width, height, refresh }
                if flags.contains(wl_output::Mode::Current) =>
            {
                let number = |value: i32| u32::try_from(value).unwrap_or(0);
                output.mode = Some((number(width), number(height), number(refresh)));
            }
            // The protocol's own: it may grow.
            _ => {}
        }
    }

    /// Chooses the output that is captured: the one named so, or the first one.
    pub(super) fn choose(&mut self, wanted: Option<&str>) -> Result<WlOutput, Diagnosis> {
        let named = |output: &&Output| wanted.is_none_or(|wanted| output.name.as_deref() == Some(wanted));
        match (self.list.iter().find(named), wanted) {
            (Some(output), _) => {
                self.chosen = Some(output.global);
                Ok(output.wl_output.clone())
            }
            (None, None) => Err(Diagnosis::NoOutput),
            (None, Some(wanted)) => {
                let name = |output: &Output| output.name.clone().unwrap_or_else(|| "unnamed".to_owned());
                let have = self.list.iter().map(name).collect();
                Err(Diagnosis::OutputNotFound { wanted: wanted.to_owned(), have })
            }
        }
    }

    /// The output that is captured.
    fn output(&self) -> Option<&Output> {
        self.list.iter().find(|output| Some(output.global) == self.chosen)
    }

    /// Its name, for people.
    pub(super) fn name(&self) -> String {
        self.output().and_then(|output| output.name.clone()).unwrap_or_else(|| "unnamed".to_owned())
    }

    /// Its mode.
    pub(super) fn mode(&self) -> Result<Mode, ModeError> {
        let (width, height, _) = self.output().and_then(|output| output.mode).unwrap_or((0, 0, 0));
        self.mode_of(width, height)
    }

    /// The mode of a picture of it: an odd last row or column is left out, for 4:2:0 has no half pixels.
    pub(super) fn mode_of(&self, width: u32, height: u32) -> Result<Mode, ModeError> {
        let told = self.output().and_then(|output| output.mode).map_or(0, |(_, _, refresh_mhz)| refresh_mhz);
        let refresh_mhz = match told {
            0 => REFRESH_UNTOLD_MHZ,
            told => told.clamp(REFRESH_MHZ_MIN, REFRESH_MHZ_MAX),
        };
        Mode::new(width & !1, height & !1, refresh_mhz)
    }
}
