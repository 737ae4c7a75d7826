//! The terminal: a few lines that are redrawn where it is one, plain lines where it is not.

use std::io::{IsTerminal, Write};

use crate::condition::{State, spoken, state};
use crate::crd::{KafkaCluster, KafkaTopic};

/// At most so many lines of topics; those that are not ready come first.
const TOPIC_LINES_MAX: usize = 12;
/// At most so many lines of brokers.
const BROKER_LINES_MAX: usize = 16;
/// The width of a terminal that does not tell.
const COLUMNS_DEFAULT: usize = 100;
/// The height of a terminal that does not tell.
const ROWS_DEFAULT: usize = 24;

/// The lines of the board. Pure.
#[must_use]
pub fn render(clusters: &[&KafkaCluster], topics: &[&KafkaTopic]) -> Vec<String> {
    let mut lines = Vec::new();
    for cluster in clusters {
        let Some(status) = &cluster.status else {
            continue;
        };
        let name = cluster.metadata.name.as_deref().unwrap_or_default();
        lines.push(format!(
            "{} {name}  {} brokers  {}",
            mark(state(&status.conditions)),
            status.brokers_ready,
            status.bootstrap_servers
        ));
        if let Some((_, message)) = spoken(&status.conditions)
            && state(&status.conditions) != Some(State::Ready)
        {
            lines.push(format!("    {message}"));
        }
        for broker in status.brokers.iter().take(BROKER_LINES_MAX) {
            let mark = if broker.ready { "●" } else { "○" };
            lines.push(format!("  {mark} {name}-{}  {}", broker.id, broker.message));
        }
    }
    let mut shown: Vec<_> = topics
        .iter()
        .filter_map(|topic| Some((topic, topic.status.as_ref()?)))
        .collect();
    shown.sort_by_key(|(_, status)| state(&status.conditions) == Some(State::Ready));
    for (topic, status) in shown.iter().take(TOPIC_LINES_MAX) {
        let name = topic.metadata.name.as_deref().unwrap_or_default();
        let state = state(&status.conditions);
        let says = match (state, spoken(&status.conditions)) {
            (Some(State::Ready), _) | (_, None) => format!("{} in sync", status.in_sync),
            (_, Some((_, message))) => message.to_owned(),
        };
        let size = match (status.partitions, status.replication_factor) {
            (Some(partitions), Some(factor)) => format!("{partitions} partitions × {factor}  "),
            _ => String::new(),
        };
        lines.push(format!("{} {name}  {size}{says}", mark(state)));
    }
    if shown.len() > TOPIC_LINES_MAX {
        lines.push(format!("  … {} more topics", shown.len() - TOPIC_LINES_MAX));
    }
    lines
}

fn mark(state: Option<State>) -> char {
    match state {
        Some(State::Ready) => '✔',
        Some(State::Stalled) => '✘',
        Some(State::Reconciling) | None => '…',
    }
}

/// The terminal.
#[derive(Debug)]
pub struct Terminal {
    is_terminal: bool,
    drawn: Vec<String>,
}

impl Default for Terminal {
    fn default() -> Self {
        Self {
            is_terminal: std::io::stdout().is_terminal(),
            drawn: Vec::new(),
        }
    }
}

impl Terminal {
    /// Whether a board is drawn.
    #[must_use]
    pub fn has_board(&self) -> bool {
        self.is_terminal
    }

    /// Writes a line that stays, above the board.
    pub fn line(&mut self, line: &str) {
        let board = std::mem::take(&mut self.drawn);
        let mut text = erase(board.len());
        text += line;
        text += "\n";
        text += &self.board(&board);
        write(&text);
        self.drawn = board;
    }

    /// Draws the board again where it changed; not higher than the terminal, whose rows above
    /// cannot be reached.
    pub fn draw(&mut self, mut lines: Vec<String>) {
        let (_, rows) = size();
        if lines.len() >= rows {
            let hidden = lines.len() - (rows - 2);
            lines.truncate(rows - 2);
            lines.push(format!("  … {hidden} more lines"));
        }
        if !self.is_terminal || lines == self.drawn {
            return;
        }
        let text = erase(self.drawn.len()) + &self.board(&lines);
        write(&text);
        self.drawn = lines;
    }

    fn board(&self, lines: &[String]) -> String {
        let (columns, _) = size();
        lines.iter().map(|line| fit(line, columns) + "\n").collect()
    }
}

/// A line that takes one row only: a longer one ends in `…`.
fn fit(line: &str, columns: usize) -> String {
    if line.chars().count() < columns {
        return line.to_owned();
    }
    let kept: String = line.chars().take(columns - 2).collect();
    kept.trim_end().to_owned() + "…"
}

/// Moves up so many lines and clears everything below.
fn erase(lines: usize) -> String {
    if lines == 0 {
        String::new()
    } else {
        format!("\x1b[{lines}A\r\x1b[J")
    }
}

/// Columns and rows.
fn size() -> (usize, usize) {
    let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok();
    let columns = size.map_or(0, |size| usize::from(size.ws_col));
    let rows = size.map_or(0, |size| usize::from(size.ws_row));
    let or = |found: usize, least: usize, default: usize| {
        if found >= least { found } else { default }
    };
    (or(columns, 20, COLUMNS_DEFAULT), or(rows, 6, ROWS_DEFAULT))
}

/// A terminal that went away is no reason to stop brokers.
fn write(text: &str) {
    let mut out = std::io::stdout().lock();
    let _ = out.write_all(text.as_bytes());
    let _ = out.flush();
}
