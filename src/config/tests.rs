//! What the file may say, and what is told when it is wrong.

use clap::Parser as _;

use super::*;

#[derive(clap::Parser)]
struct Line {
    #[command(flatten)]
    args: ServeArgs,
}

fn args(line: &[&str]) -> ServeArgs {
    Line::parse_from(std::iter::once(&"serve").chain(line)).args
}

fn config(line: &[&str], text: &str) -> anyhow::Result<Config> {
    let text = Text::new(Path::new("etc/pinport.toml"), text);
    let file = text.parse()?;
    Config::merge(&args(line), text, file)
}

#[test]
fn flags_come_before_the_file_and_defaults_after() {
    let config = config(&["--listen", "127.0.0.1:1"], "listen = \"127.0.0.1:2\"\ndata = \"d\"\n").unwrap();
    assert_eq!(config.listen.port(), 1);
    assert_eq!(config.data, Path::new("etc/d"));
    assert_eq!((config.max_running, config.memory), (2, 256 << 20));
    assert!(config.sources.ambient && config.auto_create_apps);
}

#[test]
fn keys_close_what_stands_open() {
    let text = "[[keys]]\nid = \"KEY\"\nsecret = \"0123456789abcdef\"\n";
    let config = config(&[], text).unwrap();
    assert_eq!(config.keys.len(), 1);
    assert!(!config.sources.ambient && !config.auto_create_apps && config.sources.strict_roles);
}

/// A misspelt role would be found out by its tenant, and a folder outside the root opens more than it says.
#[test]
fn what_a_key_may_read_is_judged() {
    const ROLE: &str = "[roles.\"arn:a\"]\nunsigned = true\n";
    let key = |more: &str| format!("{ROLE}[[keys]]\nid = \"KEY\"\nsecret = \"0123456789abcdef\"\n{more}\n");
    for good in
        ["roles = [\"arn:a\", \"*\"]", "local_root = true", "local_root = \"a/b\"", "sources = [\"b/x/\"]"]
    {
        config(&[], &key(good)).unwrap();
    }
    for (wrong, told) in [
        ("roles = [\"arn:b\"]", "line 6 (keys.0.roles): there is no [roles.\"arn:b\"]"),
        ("local_root = \"../a\"", "line 6 (keys.0.local_root): ../a is not the name of a folder"),
        ("local_root = \"/a\"", "(keys.0.local_root)"),
        ("local_root = 1", "line 6 (local_root): true, false, or the name of a folder"),
    ] {
        let error = config(&[], &key(wrong)).unwrap_err().to_string();
        assert!(error.contains(told), "{error}");
    }
}

#[test]
fn mistakes_are_reported_with_line_and_key_and_without_values() {
    for (text, told) in [
        ("listen = \"127.0.0.1:1\"\nlissten = 3\n", "line 2 (lissten): unknown field `lissten`"),
        ("[jobs]\nmax_running = \"two\"\n", "line 2 (max_running)"),
        ("[jobs]\nmax_running = 0\n", "line 2 (jobs.max_running): 0 is not from 1 to 64"),
        ("account = \"1\"\n", "line 1 (account): \"1\" is not a number of 12 digits"),
        ("[jobs]\nmax_failures = \"200%\"\n", "line 2 (jobs.max_failures): a share lies"),
        ("[http]\ncors_origins = [\"*\"]\n", "line 2 (http.cors_origins): \"*\" is not an origin"),
        ("[log\n", "line 1"),
    ] {
        let error = config(&[], text).unwrap_err().to_string();
        assert!(error.contains(told) && error.contains("etc/pinport.toml"), "{error}");
    }
    let error = config(&[], "[sources]\nsecret_access_key = [\"hush\"]\n").unwrap_err().to_string();
    assert!(error.contains("line 2 (secret_access_key)") && !error.contains("hush"), "{error}");
    // A secret whose quotes were forgotten, or that stands in the wrong place.
    for (text, place) in [
        (
            "[sources]\nsecret_access_key = 7418529630\n",
            "line 2 (secret_access_key): invalid type: integer, expected a string",
        ),
        ("[sources]\nsession_token = 7418529630.5\n", "line 2 (session_token)"),
        (
            "[sources.settings]\nAZURE_STORAGE_ACCOUNT_KEY = 7418529630\n",
            "line 2 (AZURE_STORAGE_ACCOUNT_KEY)",
        ),
        ("[[keys]]\nid = \"KEY\"\nsecret = 7418529630\n", "line 3 (secret)"),
        ("[[keys]]\nid = \"KEY\"\nsecret = 0x7418529630\n", "line 3 (secret)"),
        ("keys = \"741852, expected \\\"9630\"\n", "line 1 (keys): invalid type: string, expected"),
        ("[sources]\nprofile = 7418529630\n", "line 2 (profile)"),
    ] {
        let error = config(&[], text).unwrap_err().to_string();
        let value = ["74185", "9630", "498"].iter().any(|part| error.contains(part));
        assert!(error.contains(place) && !value, "{error}");
    }
}

/// The example lists every option: what it shows commented out is what a reader may write.
#[test]
fn the_example_is_a_configuration() {
    let text = include_str!("../../examples/pinport.toml");
    let uncommented: Vec<_> = text.lines().map(|line| line.strip_prefix("#: ").unwrap_or(line)).collect();
    let file: File = Text::new(Path::new("example"), uncommented.join("\n")).parse().unwrap();
    assert_eq!(file.keys.len(), 3);
    assert_eq!(file.roles.len(), 3);
    assert!(file.sources.local_root.is_some() && file.jobs.max_failures.is_some());
    Text::new(Path::new("example"), text).parse::<File>().unwrap();
}

/// What is said of a name that no section has names those that it has.
#[test]
fn the_example_leaves_no_option_out() {
    let text = include_str!("../../examples/pinport.toml");
    let mut options = 0;
    for section in [
        "",
        "[jobs]",
        "[engine]",
        "[http]",
        "[sources]",
        "[log]",
        "[metrics]",
        "[retention]",
        "[webhooks]",
        "[tls]",
        "[roles.a]",
        "[[keys]]",
    ] {
        let error = toml::from_str::<File>(&format!("{section}\nno_such_option = 1\n")).err().unwrap();
        let error = error.to_string();
        let (_, names) = error.split_once("expected ").unwrap_or_else(|| panic!("{section}: {error}"));
        for name in names.split('`').skip(1).step_by(2) {
            let told = [format!("{name} = "), format!("[{name}"), format!(".{name}]")];
            let is_told = told.iter().any(|told| text.contains(told));
            assert!(is_told, "examples/pinport.toml does not tell of {name} in {section:?}");
            options += 1;
        }
    }
    assert!(options > 40, "only {options} options");
}
