//! The operator's redundancy: a fixed share, or whatever the client's reports call for.
//!
//! Promises: what a client asks for in its Hello is a fixed share and goes first. Refuses more parity than data.

use std::str::FromStr;

use punktfunk_control::Hello;
use punktfunk_proto::RedundancyPolicy;
use punktfunk_proto::limits::REDUNDANCY_PER_MILLE;

/// The most that reports can call for, in parity shards a thousand data shards. A path that loses a tenth for long needs
/// a lower rate; memory at both ends follows from it.
const AUTO_PER_MILLE_MAX: u16 = 200;

/// How a session's redundancy is chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Redundancy {
    /// Whether it follows reports.
    pub policy: RedundancyPolicy,
    /// Parity for each thousand data shards: the share, or the most.
    pub per_mille: u16,
}

impl Redundancy {
    /// Follows the reports.
    pub const AUTO: Self = Self { policy: RedundancyPolicy::Adaptive, per_mille: AUTO_PER_MILLE_MAX };

    /// A fixed share.
    pub const fn fixed(per_mille: u16) -> Self {
        Self { policy: RedundancyPolicy::Fixed, per_mille }
    }

    /// The client's wish where it has one.
    pub fn for_client(self, hello: &Hello) -> Self {
        hello.redundancy_per_mille.map_or(self, Self::fixed)
    }

    /// Parity for each thousand data shards that a session begins with.
    pub fn per_mille_at_start(self) -> u16 {
        self.policy.per_mille_at_start(self.per_mille)
    }
}

impl FromStr for Redundancy {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let most = REDUNDANCY_PER_MILLE.end() / 10;
        match text.parse::<u16>() {
            Ok(percent) if percent <= most => Ok(Self::fixed(percent * 10)),
            Ok(_) | Err(_) if text == "auto" => Ok(Self::AUTO),
            Ok(_) | Err(_) => Err(format!("redundancy is auto or 0 to {most} percent")),
        }
    }
}

#[cfg(test)]
mod tests {
    use punktfunk_control::Mode;

    use super::*;

    #[test]
    fn a_share_is_fixed_and_auto_begins_low() {
        assert_eq!("10".parse(), Ok(Redundancy::fixed(100)));
        assert_eq!("0".parse(), Ok(Redundancy::fixed(0)));
        assert_eq!("auto".parse(), Ok(Redundancy::AUTO));
        for wrong in ["101", "-1", "", "ten", "65536"] {
            assert!(wrong.parse::<Redundancy>().is_err(), "{wrong}");
        }
        assert_eq!(
            (Redundancy::fixed(100).per_mille_at_start(), Redundancy::AUTO.per_mille_at_start()),
            (100, 20)
        );
    }

    #[test]
    fn a_client_that_asks_gets_a_fixed_share() {
        let mode = Mode { width: 320, height: 180, refresh_mhz: 60_000 };
        let mut hello = Hello::new("test", mode, 20_000);
        assert_eq!(Redundancy::AUTO.for_client(&hello), Redundancy::AUTO);
        hello.redundancy_per_mille = Some(50);
        assert_eq!(Redundancy::AUTO.for_client(&hello), Redundancy::fixed(50));
    }
}
