//! When a voter of the metadata quorum that has lost its disk may vote again.
//!
//! It has forgotten whom it voted for and what it acknowledged. So it waits until enough others
//! have answered that one of them took part in whatever it took part in, until whoever leads in the
//! highest term that they know is among them, and until it has all that this one had: what was
//! acknowledged before is in there, and a vote that was given before was for no later term.

/// What another voter answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// Who.
    pub node_id: u64,
    /// The highest term that it knows.
    pub term: u64,
    /// Who leads in that term, as far as it knows.
    pub leader: Option<u64>,
    /// How many entries its log has, from the first one ever.
    pub log_end: u64,
}

/// How many entries the voter must have; `None`: those who answered cannot tell. `voters` counts
/// it too.
#[must_use]
pub fn entries_needed(voters: usize, answers: &[Answer]) -> Option<u64> {
    let enough = (voters / 2 + 1).min(voters.saturating_sub(1));
    if answers.len() < enough {
        return None;
    }
    let term = answers.iter().map(|answer| answer.term).max()?;
    let leads = |answer: &&Answer| answer.term == term && answer.leader == Some(answer.node_id);
    answers.iter().find(leads).map(|answer| answer.log_end)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each line: a case, how many voters there are, then answers as `node@term leader end`.
    const CASES: &str = "
        both others, and one leads     : 3 : 2@5 2 90, 3@5 2 80 => 90
        the leader alone is not enough : 3 : 2@5 2 90 => none
        nor is one that follows        : 3 : 3@5 2 80 => none
        a leader of the past           : 3 : 2@5 2 90, 3@6 - 80 => none
        the present one counts         : 3 : 2@5 2 90, 3@6 3 80 => 80
        nobody leads                   : 3 : 2@5 - 90, 3@5 - 90 => none
        the leader does not answer     : 5 : 2@5 4 90, 3@5 4 90, 5@5 4 90 => none
        three of four                  : 5 : 2@5 4 90, 3@5 4 90, 4@5 4 95 => 95
        two of four                    : 5 : 3@5 4 90, 4@5 4 95 => none
        a pair has one other           : 2 : 2@5 2 90 => 90";

    #[test]
    fn a_voter_votes_again_by_the_word_of_enough_others_and_their_leader() {
        for case in CASES.trim().lines() {
            let parts: Vec<&str> = case.split([':', '>']).map(str::trim).collect();
            let answers = parts[2].trim_end_matches(" =").split(',').map(|answer| {
                let words: Vec<&str> = answer.split_whitespace().collect();
                let (node_id, term) = words[0].split_once('@').expect("a term");
                Answer {
                    node_id: node_id.parse().expect("a node"),
                    term: term.parse().expect("a term"),
                    leader: words[1].parse().ok(),
                    log_end: words[2].parse().expect("an end"),
                }
            });
            let answers: Vec<Answer> = answers.collect();
            let found = entries_needed(parts[1].parse().expect("a count"), &answers);
            assert_eq!(found, parts[3].parse().ok(), "{}", parts[0]);
        }
    }
}
