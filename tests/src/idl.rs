//! The program's IDL, and the reference pages that are made of it.

use std::{
    collections::BTreeMap,
    fmt::Write,
    fs,
    path::{Path, PathBuf},
};

use anchor_lang::Address;
use anchor_lang_idl::{
    build::IdlBuilder,
    types::{
        Idl, IdlArrayLen, IdlDefinedFields, IdlEnumVariant, IdlField, IdlInstruction,
        IdlInstructionAccount, IdlInstructionAccountItem, IdlPda, IdlSeed, IdlType, IdlTypeDef,
        IdlTypeDefTy,
    },
};
use anyhow::{Context, Result, bail, ensure};
use driftshield::ModelStatus;

const DISCRIMINATOR_BYTES: usize = 8;

/// The root of the repository.
pub fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
}

/// All that is generated: paths under [`root`], and what belongs there.
///
/// `RUSTUP_TOOLCHAIN` must not be set: the builder misreads it.
pub fn generate(target_dir: &Path) -> Result<Vec<(&'static str, String)>> {
    let idl = build(target_dir)?;
    check(&idl)?;
    Ok(vec![
        (
            "idl/driftshield.json",
            serde_json::to_string_pretty(&idl)? + "\n",
        ),
        ("docs/accounts.md", accounts_page(&idl)?),
        ("docs/errors.md", errors_page(&idl)?),
        ("docs/events.md", events_page(&idl)?),
        ("docs/instructions.md", instructions_page(&idl)?),
    ])
}

fn build(target_dir: &Path) -> Result<Idl> {
    let target_dir = target_dir.to_str().context("the target folder's name")?;
    let arguments = [
        "--lib",
        "--locked",
        "--ignore-rust-version", // the compiler's, which the workspace builds with as well
        "--target-dir",
        target_dir,
    ];
    let mut idl = IdlBuilder::new()
        .program_path(program())
        .skip_lint(true)
        .cargo_args(arguments.map(String::from).to_vec())
        .build()?;
    mend(&mut idl)?;
    Ok(idl)
}

fn program() -> PathBuf {
    root().join("programs/driftshield")
}

/// Puts right what the builder gets wrong or leaves out.
fn mend(idl: &mut Idl) -> Result<()> {
    let manifest = fs::read_to_string(program().join("Cargo.toml"))?;
    idl.metadata.version = manifest
        .lines()
        .find_map(|line| line.strip_prefix("version = ")) // it always says 0.1.0
        .context("the program's version")?
        .trim_matches('"')
        .to_owned();

    for instruction in &mut idl.instructions {
        for item in &mut instruction.accounts {
            let IdlInstructionAccountItem::Single(account) = item else {
                bail!("{}: nested accounts", instruction.name);
            };
            match account.name.as_str() {
                "event_authority" => account.docs = vec!["Signs the program's events.".into()],
                "program" => account.docs = vec!["The program itself, which takes them.".into()],
                _ => {}
            }
            // A field of another account is no address: clients would refuse it.
            if let Some(field) = account.address.take_if(|address| !is_address(address)) {
                account.docs.insert(0, format!("`{field}`."));
            }
        }
    }

    // No argument and no event holds this one.
    let status = [ModelStatus::Active, ModelStatus::Retired].map(|status| IdlEnumVariant {
        name: format!("{status:?}"),
        fields: None,
    });
    let wrapper = find(idl, "PodModelStatus")?.clone();
    idl.types.push(IdlTypeDef {
        name: "ModelStatus".into(),
        ty: IdlTypeDefTy::Enum {
            variants: status.to_vec(),
        },
        ..wrapper
    });
    idl.types.sort_by(|a, b| a.name.cmp(&b.name));

    // In accounts an enum is its number.
    let numbers: BTreeMap<String, String> = idl
        .types
        .iter()
        .filter_map(|definition| Some((format!("Pod{}", definition.name), numbers(definition)?)))
        .collect();
    for definition in &mut idl.types {
        if let Some(numbers) = numbers.get(&definition.name) {
            definition.docs.push(format!("{numbers}."));
        }
    }
    Ok(())
}

fn is_address(text: &str) -> bool {
    text.parse::<Address>().is_ok()
}

/// `0 Open, 1 Resolved, …` of an enum.
fn numbers(definition: &IdlTypeDef) -> Option<String> {
    let IdlTypeDefTy::Enum { variants } = &definition.ty else {
        return None;
    };
    let numbers: Vec<String> = variants
        .iter()
        .enumerate()
        .map(|(number, variant)| format!("{number} {}", variant.name))
        .collect();
    Some(numbers.join(", "))
}

/// Refuses an IDL that a client could not rely on.
fn check(idl: &Idl) -> Result<()> {
    ensure!(is_address(&idl.address), "the program has no address");
    ensure!(!idl.errors.is_empty(), "there are no errors");
    for (error, code) in idl.errors.iter().zip(6000..) {
        ensure!(error.code == code, "{}: not {code}", error.name);
        ensure!(error.msg.is_some(), "{} says nothing", error.name);
    }
    for account in &idl.accounts {
        let definition = find(idl, &account.name)?;
        let documented = definition
            .docs
            .iter()
            .any(|line| line.starts_with("Address: "));
        ensure!(
            documented,
            "{}: its address is not documented",
            account.name
        );
    }
    for event in &idl.events {
        ensure!(
            !find(idl, &event.name)?.docs.is_empty(),
            "{}: no docs",
            event.name
        );
    }
    for definition in &idl.types {
        for field in fields(definition) {
            check_type(idl, &field.ty).with_context(|| definition.name.clone())?;
        }
    }
    for instruction in &idl.instructions {
        ensure!(
            !instruction.docs.is_empty(),
            "{}: no docs",
            instruction.name
        );
        for argument in &instruction.args {
            check_type(idl, &argument.ty).with_context(|| instruction.name.clone())?;
        }
    }
    Ok(())
}

fn check_type(idl: &Idl, ty: &IdlType) -> Result<()> {
    match ty {
        IdlType::Option(inner) | IdlType::Vec(inner) => check_type(idl, inner),
        IdlType::Array(inner, IdlArrayLen::Value(_)) => check_type(idl, inner),
        IdlType::Array(_, IdlArrayLen::Generic(length)) => bail!("an array's length is {length}"),
        IdlType::Defined { name, .. } => find(idl, name).map(drop),
        IdlType::Generic(name) => bail!("the type {name} is generic"),
        _ => Ok(()),
    }
}

fn find<'a>(idl: &'a Idl, name: &str) -> Result<&'a IdlTypeDef> {
    idl.types
        .iter()
        .find(|definition| definition.name == name)
        .with_context(|| format!("the type {name} is missing"))
}

fn fields(definition: &IdlTypeDef) -> &[IdlField] {
    match &definition.ty {
        IdlTypeDefTy::Struct {
            fields: Some(IdlDefinedFields::Named(fields)),
        } => fields,
        _ => &[],
    }
}

/// How many bytes a value takes; `None` where that varies.
fn size(idl: &Idl, ty: &IdlType) -> Option<usize> {
    Some(match ty {
        IdlType::Bool | IdlType::U8 | IdlType::I8 => 1,
        IdlType::U16 | IdlType::I16 => 2,
        IdlType::U32 | IdlType::I32 | IdlType::F32 => 4,
        IdlType::U64 | IdlType::I64 | IdlType::F64 => 8,
        IdlType::U128 | IdlType::I128 => 16,
        IdlType::U256 | IdlType::I256 | IdlType::Pubkey => 32,
        IdlType::Array(inner, IdlArrayLen::Value(length)) => length * size(idl, inner)?,
        IdlType::Defined { name, .. } => {
            let definition = find(idl, name).ok()?;
            match &definition.ty {
                IdlTypeDefTy::Type { alias } => size(idl, alias)?,
                IdlTypeDefTy::Enum { .. } => 1,
                IdlTypeDefTy::Struct { .. } => fields(definition)
                    .iter()
                    .map(|field| size(idl, &field.ty))
                    .sum::<Option<usize>>()?,
            }
        }
        _ => return None,
    })
}

/// The bytes of each account, discriminator included, as the IDL has them.
pub fn account_sizes(idl: &Idl) -> Result<BTreeMap<String, usize>> {
    idl.accounts
        .iter()
        .map(|account| {
            let ty = IdlType::Defined {
                name: account.name.clone(),
                generics: Vec::new(),
            };
            let body = size(idl, &ty).with_context(|| format!("{}: its size", account.name))?;
            Ok((account.name.clone(), DISCRIMINATOR_BYTES + body))
        })
        .collect()
}

/// What clients, and accounts on chain, depend on byte by byte, a line each: sizes of accounts, where
/// their fields lie, and the numbers of instructions, accounts, events, enums and errors. That a field
/// lies where the ones before it end is the program's: its accounts have no gaps.
pub fn frozen(idl: &Idl) -> Result<Vec<String>> {
    let mut lines = Vec::new();
    let sizes = account_sizes(idl)?;
    for account in &idl.accounts {
        let (name, tag) = (&account.name, hex(&account.discriminator));
        lines.push(format!("account {name} {tag}, {} bytes", sizes[name]));
        frozen_fields(&mut lines, idl, name, find(idl, name)?, DISCRIMINATOR_BYTES)?;
    }
    for instruction in ordered(idl) {
        let (name, number) = (&instruction.name, instruction.discriminator[0]);
        lines.push(format!("instruction {number} {name}"));
    }
    for event in &idl.events {
        lines.push(format!(
            "event {} {}",
            event.name,
            hex(&event.discriminator)
        ));
    }
    for definition in &idl.types {
        if let IdlTypeDefTy::Enum { variants } = &definition.ty {
            for (number, variant) in variants.iter().enumerate() {
                lines.push(format!(
                    "enum {} {number} {}",
                    definition.name, variant.name
                ));
            }
        }
    }
    let errors = idl.errors.iter();
    lines.extend(errors.map(|error| format!("error {} {}", error.code, error.name)));
    Ok(lines)
}

/// Every field but reserved bytes, and of a struct its fields.
fn frozen_fields(
    lines: &mut Vec<String>,
    idl: &Idl,
    name: &str,
    definition: &IdlTypeDef,
    mut offset: usize,
) -> Result<()> {
    for field in fields(definition) {
        let size = size(idl, &field.ty).context("a field's size")?;
        let name = format!("{name}.{}", field.name);
        let defined = match &field.ty {
            IdlType::Defined { name, .. } => Some(find(idl, name)?),
            _ => None,
        };
        if let Some(inner) = defined.filter(|inner| !fields(inner).is_empty()) {
            frozen_fields(lines, idl, &name, inner, offset)?;
        } else if field.name != "reserved" {
            let ty = defined.map_or_else(|| type_name(&field.ty), |it| bare(&it.name).into());
            lines.push(format!("field {name} at {offset}, {size} bytes of {ty}"));
        }
        offset += size;
    }
    Ok(())
}

fn page(title: &str, about: &str) -> String {
    format!(
        "<!-- Generated by scripts/idl from the program's IDL: do not edit. -->\n\n# {title}\n\n{about}\n"
    )
}

fn errors_page(idl: &Idl) -> Result<String> {
    let about = "\
        A failed instruction shows a custom error with one of these codes. \
        A code never changes its meaning. \
        Codes below 6000 are Anchor's or another program's.";
    let mut page = page("Errors", about);
    page += "\n| code | name | what went wrong, and what to do |\n| --- | --- | --- |\n";
    for error in &idl.errors {
        let message = error.msg.as_deref().unwrap_or_default();
        writeln!(
            page,
            "| {} | `{}` | {} |",
            error.code,
            error.name,
            cell(message)
        )?;
    }
    Ok(page)
}

fn accounts_page(idl: &Idl) -> Result<String> {
    let about = "\
        Every account is zero-copy: its discriminator, then its fields as they lie in memory, \
        little-endian and without gaps. \
        Offsets count from the start of the account's data.";
    let mut page = page("Accounts", about);
    let sizes = account_sizes(idl)?;
    for account in &idl.accounts {
        let definition = find(idl, &account.name)?;
        writeln!(
            page,
            "\n## {}\n\n{}\n",
            account.name,
            paragraphs(&definition.docs)
        )?;
        writeln!(
            page,
            "{} bytes, beginning with the discriminator `{}`.\n",
            sizes[&account.name],
            hex(&account.discriminator),
        )?;
        layout(&mut page, idl, definition)?;
    }
    types(
        &mut page,
        idl,
        idl.accounts
            .iter()
            .flat_map(|account| find(idl, &account.name).map(fields).unwrap_or_default()),
    )?;
    addresses(&mut page, idl)?;
    Ok(page)
}

/// A table of the fields of `definition`, the first of them after the discriminator.
fn layout(page: &mut String, idl: &Idl, definition: &IdlTypeDef) -> Result<()> {
    *page += "| offset | size | field | type | |\n| ---: | ---: | --- | --- | --- |\n";
    rows(page, idl, "", definition, DISCRIMINATOR_BYTES)
}

/// A row a field, and one for each field of a field, by `prefix`.
fn rows(
    page: &mut String,
    idl: &Idl,
    prefix: &str,
    definition: &IdlTypeDef,
    mut offset: usize,
) -> Result<()> {
    for field in fields(definition) {
        let size = size(idl, &field.ty).context("a field's size")?;
        let (ty, docs) = (type_name(&field.ty), cell(&line(&field.docs)));
        let name = format!("{prefix}{}", field.name);
        writeln!(page, "| {offset} | {size} | `{name}` | {ty} | {docs} |")?;
        if let IdlType::Defined { name: inner, .. } = &field.ty {
            rows(page, idl, &format!("{name}."), find(idl, inner)?, offset)?;
        }
        offset += size;
    }
    Ok(())
}

/// The seeds of each address that an instruction derives, in the order of instructions.
fn addresses(page: &mut String, idl: &Idl) -> Result<()> {
    *page += "\n## Addresses\n\nWhat the program derives, token accounts included. Numbers are u64, little-endian.\n\n";
    *page += "| account | seeds |\n| --- | --- |\n";
    let mut seen = Vec::new();
    for instruction in ordered(idl) {
        for account in singles(instruction) {
            let Some(pda) = &account.pda else { continue };
            let row = format!("| `{}` | {} |\n", account.name, seeds(pda));
            if !seen.contains(&row) {
                *page += &row;
                seen.push(row);
            }
        }
    }
    Ok(())
}

fn events_page(idl: &Idl) -> Result<String> {
    let about = format!(
        "Every instruction tells one event, by a call of the program to itself: \
        look among the inner instructions for one to the program whose data begin with `{}`. \
        After that come the event's discriminator and its fields in Borsh.\n\n\
        A field `…_seq` is the number of the event among those of that account, counted from 1: \
        whoever has them all has missed nothing.",
        hex(anchor_lang::event::EVENT_IX_TAG_LE),
    );
    let mut page = page("Events", &about);
    for event in &idl.events {
        let definition = find(idl, &event.name)?;
        writeln!(
            page,
            "\n## {}\n\n{}\n",
            event.name,
            paragraphs(&definition.docs)
        )?;
        writeln!(page, "Discriminator `{}`.\n", hex(&event.discriminator))?;
        table(&mut page, "field", fields(definition))?;
    }
    types(
        &mut page,
        idl,
        idl.events
            .iter()
            .flat_map(|event| find(idl, &event.name).map(fields).unwrap_or_default()),
    )?;
    Ok(page)
}

fn instructions_page(idl: &Idl) -> Result<String> {
    let about = "\
        An instruction's data are its number, one byte, and its arguments in Borsh. \
        Accounts are passed in the order given; `w` is writable, `s` signs. \
        After those listed, every instruction takes the `event_authority` \
        (the address derived from `\"__event_authority\"`) and the program itself, both read-only, \
        and only then its remaining accounts, if it has any.";
    let mut page = page("Instructions", about);
    for instruction in ordered(idl) {
        let number = instruction.discriminator[0];
        writeln!(
            page,
            "\n## {number} · {}\n\n{}",
            instruction.name,
            paragraphs(&instruction.docs)
        )?;
        if !instruction.args.is_empty() {
            page += "\n";
            table(&mut page, "argument", &instruction.args)?;
        }
        page += "\n| account | | address | |\n| --- | --- | --- | --- |\n";
        for account in singles(instruction) {
            if ["event_authority", "program"].contains(&account.name.as_str()) {
                continue;
            }
            let flags = [("w", account.writable), ("s", account.signer)];
            let flags: Vec<&str> = flags
                .iter()
                .filter(|flag| flag.1)
                .map(|flag| flag.0)
                .collect();
            let docs = cell(&line(&account.docs));
            writeln!(
                page,
                "| `{}` | {} | {} | {docs} |",
                account.name,
                flags.join(" "),
                address(account),
            )?;
        }
    }
    types(
        &mut page,
        idl,
        idl.instructions
            .iter()
            .flat_map(|instruction| &instruction.args),
    )?;
    Ok(page)
}

/// Instructions by their number, the order of the program's `lib.rs`.
fn ordered(idl: &Idl) -> Vec<&IdlInstruction> {
    let mut instructions: Vec<_> = idl.instructions.iter().collect();
    instructions.sort_by_key(|instruction| &instruction.discriminator);
    instructions
}

fn singles(instruction: &IdlInstruction) -> impl Iterator<Item = &IdlInstructionAccount> {
    instruction.accounts.iter().filter_map(|item| match item {
        IdlInstructionAccountItem::Single(account) => Some(account),
        IdlInstructionAccountItem::Composite(_) => None,
    })
}

/// What is known of an account's address.
fn address(account: &IdlInstructionAccount) -> String {
    if let Some(address) = &account.address {
        return format!("`{address}`");
    }
    if let Some(pda) = &account.pda {
        return seeds(pda);
    }
    let fields: Vec<String> = account
        .relations
        .iter()
        .map(|holder| format!("`{holder}.{}`", account.name))
        .collect();
    fields.join(", ")
}

fn seeds(pda: &IdlPda) -> String {
    let seeds: Vec<String> = pda
        .seeds
        .iter()
        .map(|seed| match seed {
            IdlSeed::Const(seed) => format!("`\"{}\"`", String::from_utf8_lossy(&seed.value)),
            IdlSeed::Arg(seed) => format!("argument `{}`", seed.path),
            IdlSeed::Account(seed) => format!("`{}`", seed.path),
        })
        .collect();
    seeds.join(", ")
}

fn table(page: &mut String, what: &str, fields: &[IdlField]) -> Result<()> {
    writeln!(page, "| {what} | type | |\n| --- | --- | --- |")?;
    for field in fields {
        let (ty, docs) = (type_name(&field.ty), cell(&line(&field.docs)));
        writeln!(page, "| `{}` | {ty} | {docs} |", field.name)?;
    }
    Ok(())
}

/// A section for each type that `fields` are made of.
fn types<'a>(
    page: &mut String,
    idl: &'a Idl,
    fields: impl Iterator<Item = &'a IdlField>,
) -> Result<()> {
    let mut used = BTreeMap::new();
    for field in fields {
        collect(idl, &field.ty, &mut used)?;
    }
    for (name, definition) in used {
        writeln!(page, "\n## {name}\n\n{}", paragraphs(&definition.docs))?;
        match numbers(definition) {
            Some(numbers) => writeln!(page, "\nOne byte: {numbers}.")?,
            None => {
                *page += "\n";
                table(page, "field", self::fields(definition))?;
            }
        }
    }
    Ok(())
}

fn collect<'a>(
    idl: &'a Idl,
    ty: &IdlType,
    used: &mut BTreeMap<String, &'a IdlTypeDef>,
) -> Result<()> {
    match ty {
        IdlType::Option(inner) | IdlType::Vec(inner) | IdlType::Array(inner, _) => {
            collect(idl, inner, used)?;
        }
        IdlType::Defined { name, .. } if name != "PodBool" => {
            let name = bare(name);
            let definition = find(idl, name)?;
            used.insert(name.to_owned(), definition);
            for field in fields(definition) {
                collect(idl, &field.ty, used)?;
            }
        }
        _ => {}
    }
    Ok(())
}

/// The enum's name, of its form in accounts.
fn bare(name: &str) -> &str {
    name.strip_prefix("Pod").unwrap_or(name)
}

fn type_name(ty: &IdlType) -> String {
    match ty {
        IdlType::Defined { name, .. } if name == "PodBool" => "bool".into(),
        IdlType::Defined { name, .. } => {
            let name = bare(name);
            format!("[{name}](#{})", name.to_lowercase())
        }
        IdlType::Option(inner) => format!("option of {}", type_name(inner)),
        IdlType::Vec(inner) => format!("list of {}", type_name(inner)),
        IdlType::Array(inner, IdlArrayLen::Value(length)) => {
            format!("{length} × {}", type_name(inner))
        }
        IdlType::Pubkey => "address".into(),
        other => format!("{other:?}").to_lowercase(),
    }
}

fn hex(bytes: &[u8]) -> String {
    let bytes: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    bytes.join(" ")
}

/// Doc lines as Markdown: each that ends in a full stop ends its line.
fn paragraphs(docs: &[String]) -> String {
    docs.join("\n")
        .trim()
        .replace(".\n", ".  \n")
        .replace("  \n\n", "\n\n")
}

fn line(docs: &[String]) -> String {
    docs.join(" ").trim().to_owned()
}

fn cell(text: &str) -> String {
    text.replace('|', "\\|")
}
