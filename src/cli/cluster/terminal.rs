//! Floor 3: asking the person in front of the terminal. Questions go to standard error, so that the answer of a command
//! can be piped; where nobody sits there, nothing is taken for granted.

use std::io::{self, BufRead as _, IsTerminal as _, Write as _};

use super::CommandError;

/// Shows something before the command has its answer.
pub fn show(text: &str) -> Result<(), CommandError> {
    io::stderr()
        .write_all(text.as_bytes())
        .map_err(CommandError::Terminal)
}

/// Prints the answer of a command that then ends as a failure: the answer is what it found.
pub fn say(answer: &str) -> Result<(), CommandError> {
    io::stdout()
        .write_all(answer.as_bytes())
        .map_err(CommandError::Terminal)
}

/// Asks for a line; `otherwise` is what to do where nobody can be asked.
pub fn ask(question: &str, otherwise: &str) -> Result<String, CommandError> {
    if !io::stdin().is_terminal() {
        return Err(CommandError::Usage(format!(
            "standard input is no terminal, so nobody can be asked: {otherwise}"
        )));
    }
    show(question)?;
    let mut answer = String::new();
    io::stdin()
        .lock()
        .read_line(&mut answer)
        .map_err(CommandError::Terminal)?;
    Ok(answer.trim().to_owned())
}

/// Asks for a yes.
pub fn confirm(question: &str) -> Result<(), CommandError> {
    let answer = ask(
        &format!("{question} Type yes: "),
        "look with `neuralops diff` first, then give --yes",
    )?;
    if is_yes(&answer) {
        Ok(())
    } else {
        Err(CommandError::Negative("nothing was done".to_owned()))
    }
}

/// A whole word: a stray key is no consent.
fn is_yes(answer: &str) -> bool {
    answer.eq_ignore_ascii_case("yes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_word_is_a_yes() {
        assert!(is_yes("yes") && is_yes("Yes"));
        assert!(!is_yes("y") && !is_yes("") && !is_yes("yes!"));
    }
}
