//! `idl`: writes the program's IDL and the reference pages generated from it.
//! `idl --check`: fails if the committed files differ from the generated ones.

use std::{
    env, fs,
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result};
use driftshield_tests::{idl, paths};

fn main() -> Result<ExitCode> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let check = match arguments.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => false,
        ["--check"] => true,
        _ => {
            eprintln!("usage: idl [--check]");
            return Ok(ExitCode::from(2));
        }
    };
    if env::var_os("RUSTUP_TOOLCHAIN").is_some() {
        return run_without_rustup(&arguments);
    }

    let mut stale = false;
    // A separate target folder: the builder's flags differ from those of other builds, so sharing a folder
    // would rebuild everything each time.
    let target_dir = paths::target_dir().join("idl");
    for (path, content) in idl::generate(&target_dir)? {
        let file = paths::root().join(path);
        if fs::read_to_string(&file).is_ok_and(|old| old == content) {
            continue;
        }
        if check {
            eprintln!("{path} is out of date; run scripts/idl");
            stale = true;
        } else {
            fs::write(&file, content).with_context(|| path.to_owned())?;
            println!("wrote {path}");
        }
    }
    Ok(if stale {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Runs this command again without `RUSTUP_TOOLCHAIN`, which the IDL builder misreads. Puts the folder of
/// `CARGO`, the same toolchain, first on `PATH` instead.
fn run_without_rustup(arguments: &[String]) -> Result<ExitCode> {
    let mut command = Command::new(env::current_exe()?);
    command.args(arguments).env_remove("RUSTUP_TOOLCHAIN");
    if let Some(toolchain) = env::var_os("CARGO")
        .as_deref()
        .and_then(|cargo| Path::new(cargo).parent())
    {
        let path = env::var_os("PATH").unwrap_or_default();
        let folders = [toolchain.to_owned()]
            .into_iter()
            .chain(env::split_paths(&path));
        command.env("PATH", env::join_paths(folders)?);
    }
    let success = command.status()?.success();
    Ok(if success {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
