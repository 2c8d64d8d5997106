use std::{collections::VecDeque, sync::mpsc};

use pinport_model::view::Sample;
use ratatui::{
    backend::TestBackend,
    crossterm::event::{KeyCode, KeyEvent, KeyModifiers},
};

use super::*;

/// Gives its events out, one a call; afterwards it waits as a keyboard does, and then fails.
struct Script(VecDeque<Option<Event>>);

impl Input for Script {
    fn next(&mut self, wait: Duration) -> io::Result<Option<Event>> {
        match self.0.pop_front() {
            Some(event) => Ok(event),
            None if wait.is_zero() => Ok(None),
            None => Err(io::Error::other("the script is over")),
        }
    }
}

fn press(code: KeyCode) -> Option<Event> {
    Some(Event::Key(KeyEvent::new(code, KeyModifiers::NONE)))
}

fn sample(sequence: u64) -> Message {
    Message::Sample(Box::new(Sample {
        sequence,
        time: Timestamp::from_millis(sequence.cast_signed() * 100),
        jobs: Vec::new(),
        jobs_total: 0,
        jobs_of: Default::default(),
        bytes_in_flight: 0,
        bytes_in_flight_limit: 0,
        trouble: None,
        servers: Vec::new(),
        events: Vec::new(),
        past: None,
        machine: None,
    }))
}

fn play(
    script: Vec<Option<Event>>,
    messages: Vec<Message>,
) -> (io::Result<()>, Terminal<TestBackend>, Vec<Effect>) {
    let (sender, receiver) = mpsc::sync_channel(1 << 14);
    messages.into_iter().for_each(|message| sender.send(message).unwrap());
    let mut terminal = Terminal::new(TestBackend::new(80, 10)).unwrap();
    let mut dashboard = Dashboard::new(Options::default());
    let mut effects = Vec::new();
    let result = drive(&mut terminal, &mut dashboard, &mut Script(script.into()), &receiver, |_, effect| {
        effects.push(effect);
        Ok(())
    });
    (result, terminal, effects)
}

#[test]
fn q_leaves_and_a_message_leaves() {
    let (result, _, effects) = play(vec![press(KeyCode::Char('q'))], Vec::new());
    assert!(result.is_ok() && effects.is_empty());
    assert!(play(Vec::new(), vec![Message::Quit]).0.is_ok());
}

#[test]
fn a_keyboard_that_fails_ends_the_loop() {
    assert_eq!(play(Vec::new(), Vec::new()).0.unwrap_err().to_string(), "the script is over");
}

#[test]
fn many_samples_are_one_frame() {
    let (result, terminal, _) = play(vec![press(KeyCode::Char('q'))], (1..=1000).map(sample).collect());
    assert!(result.is_ok());
    let text = terminal.backend().to_string();
    assert!(text.contains("connected"), "{text}");
    // `Terminal` counts its frames.
    let mut terminal = terminal;
    assert_eq!(terminal.get_frame().count(), 1);
}

#[test]
fn a_feeder_that_left_does_not_end_the_dashboard() {
    let script = vec![
        None,
        None,
        press(KeyCode::Char('?')),
        None,
        press(KeyCode::Esc),
        None,
        press(KeyCode::Char('q')),
    ];
    let (result, terminal, _) = play(script, vec![sample(1)]);
    assert!(result.is_ok());
    assert!(terminal.backend().to_string().contains("no jobs yet"));
}
