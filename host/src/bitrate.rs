//! The operator's bitrate: what a client asks for, or as much of that as the way and the client bear.
//!
//! Promises: what stands in the way of following the reports is said once a session. Refuses other words than the two.

use punktfunk_proto::BitratePolicy;

/// Reads the policy's word.
///
/// # Errors
/// The words that there are.
pub fn parse(text: &str) -> Result<BitratePolicy, String> {
    let known = [BitratePolicy::Adaptive, BitratePolicy::Fixed];
    known
        .into_iter()
        .find(|policy| word(*policy) == text)
        .ok_or_else(|| "bitrate is adaptive or fixed".to_owned())
}

/// The policy's word.
pub fn word(policy: BitratePolicy) -> &'static str {
    match policy {
        BitratePolicy::Fixed => "fixed",
        BitratePolicy::Adaptive => "adaptive",
    }
}

/// What of the wish can be had: a source with a rate of its own, and a link whose rate is told and so not measured, leave
/// nothing to follow.
pub fn policy(wish: BitratePolicy, follows_rate: bool, is_link_told: bool) -> BitratePolicy {
    let why = match (wish, follows_rate, is_link_told) {
        (BitratePolicy::Fixed, _, _) => return BitratePolicy::Fixed,
        (BitratePolicy::Adaptive, false, _) => "the source has a rate of its own",
        (BitratePolicy::Adaptive, true, true) => "the link's rate is told and not measured",
        (BitratePolicy::Adaptive, true, false) => return BitratePolicy::Adaptive,
    };
    tracing::info!(why, "the bitrate stays as it is asked for");
    BitratePolicy::Fixed
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_said() {
        for policy in [BitratePolicy::Adaptive, BitratePolicy::Fixed] {
            assert_eq!(parse(word(policy)), Ok(policy));
        }
        assert_eq!(parse("auto"), Err("bitrate is adaptive or fixed".to_owned()));
    }

    #[test]
    fn where_nothing_can_be_followed_the_rate_is_fixed() {
        let (adaptive, fixed) = (BitratePolicy::Adaptive, BitratePolicy::Fixed);
        assert_eq!(policy(adaptive, true, false), adaptive);
        let others = [(adaptive, false, false), (adaptive, true, true), (fixed, true, false)];
        assert!(others.into_iter().all(|(wish, follows, told)| policy(wish, follows, told) == fixed));
    }
}
