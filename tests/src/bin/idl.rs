//! `idl`: writes the program's IDL and the reference pages made of it.
//! `idl --check`: fails where those that are there are others.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use anyhow::{Context, Result};
use driftshield_tests::idl;

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
        return again(&arguments);
    }

    let mut stale = false;
    for (path, content) in idl::generate(&target_dir())? {
        let file = idl::root().join(path);
        if fs::read_to_string(&file).is_ok_and(|old| old == content) {
            continue;
        }
        if check {
            eprintln!("{path} is not what the program says: run scripts/idl");
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

/// Runs anew as if called without rustup, which the IDL's builder can't bear, with the same
/// toolchain first on the path.
fn again(arguments: &[String]) -> Result<ExitCode> {
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

/// A folder of its own: with other flags than the workspace's, cargo would build all anew each time.
fn target_dir() -> PathBuf {
    let target = env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    target
        .unwrap_or_else(|| idl::root().join("target"))
        .join("idl")
}
