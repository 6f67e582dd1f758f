//! The checks of the program, found in its source.

use std::{fmt, fs, ops::Range, path::Path};

use anyhow::{Context, Result};
use proc_macro2::{Group, TokenStream, TokenTree};
use quote::ToTokens;
use sha2::{Digest, Sha256};
use syn::{
    Attribute, Expr, ExprIf, Field, GenericArgument, ImplItemFn, ItemFn, ItemImpl, ItemMod,
    ItemStruct, PathArguments, Stmt, Type,
    spanned::Spanned,
    visit::{self, Visit},
};

/// What is taken away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// `@ Error`: the check stays, and says something else.
    Error,
    Address,
    Seeds,
    Constraint,
    Signer,
    Token,
    Mint,
    Mut,
    Close,
    /// Owner and discriminator of an account, or which program it is.
    Type,
    /// `require…!`, or a call of a function that only checks.
    Require,
    /// An early `return` of an error, or of nothing.
    Return,
    /// Wraps around instead.
    Checked,
}

impl Kind {
    pub const ALL: [Self; 13] = [
        Self::Error,
        Self::Address,
        Self::Seeds,
        Self::Constraint,
        Self::Signer,
        Self::Token,
        Self::Mint,
        Self::Mut,
        Self::Close,
        Self::Type,
        Self::Require,
        Self::Return,
        Self::Checked,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Error => "@ Error",
            Self::Address => "address",
            Self::Seeds => "seeds",
            Self::Constraint => "constraint",
            Self::Signer => "signer",
            Self::Token => "token::",
            Self::Mint => "mint::",
            Self::Mut => "mut",
            Self::Close => "close",
            Self::Type => "typed account",
            Self::Require => "require",
            Self::Return => "return",
            Self::Checked => "checked_",
        }
    }
}

/// A check, and how to take it away.
#[derive(Clone, Debug)]
pub struct Site {
    pub kind: Kind,
    /// Under [`super::SOURCE`].
    pub file: String,
    /// `BuyPolicy.vault`, `Vault::sell`.
    pub item: String,
    /// What is taken away, on one line.
    pub text: String,
    /// The same as long as the item that it is in stays the same, but for comments.
    pub key: String,
    pub line: usize,
    /// What to put in the place of which bytes of the file.
    edits: Vec<(Range<usize>, String)>,
    /// What `lib.rs` says, and has to say without the check.
    library: Option<(String, String)>,
}

impl fmt::Display for Site {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let Self {
            kind,
            file,
            item,
            text,
            line,
            ..
        } = self;
        write!(f, "{file}:{line} {item}: {}: {text}", kind.name())
    }
}

impl Site {
    /// The file without the check.
    pub fn taken_from(&self, source: &str) -> String {
        let mut edits = self.edits.clone();
        edits.sort_by_key(|(range, _)| range.start);
        let mut mutant = source.to_owned();
        for (range, text) in edits.into_iter().rev() {
            mutant.replace_range(range, &text);
        }
        mutant
    }

    /// `lib.rs` of the program without the check.
    pub fn library(&self, source: &str) -> String {
        let library = match &self.library {
            Some((old, new)) => source.replacen(old, new, 1),
            None => source.to_owned(),
        };
        // An account whose type is not looked at.
        let support = if self.kind == Kind::Type {
            UNVERIFIED
        } else {
            ""
        };
        library + support
    }

    /// The error that the check gives, if its text says so.
    pub fn error(&self) -> Option<&str> {
        let (_, error) = self.text.split_once("DriftShieldError :: ")?;
        error.split(|c: char| !c.is_alphanumeric()).next()
    }
}

const UNVERIFIED: &str = r#"
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Unverified<T>(T);

unsafe impl<T: anchor_lang::bytemuck::Zeroable> anchor_lang::bytemuck::Zeroable for Unverified<T> {}
unsafe impl<T: anchor_lang::bytemuck::Pod> anchor_lang::bytemuck::Pod for Unverified<T> {}

impl<T: anchor_lang::accounts::SlabSchema> anchor_lang::accounts::SlabSchema for Unverified<T> {
    const DATA_OFFSET: usize = T::DATA_OFFSET;
    const MIN_DATA_LEN: usize = T::MIN_DATA_LEN;
    fn validate(_: &AccountView, data: &[u8]) -> core::result::Result<(), ProgramError> {
        require!(T::MIN_DATA_LEN <= data.len(), ProgramError::AccountDataTooSmall);
        Ok(())
    }
}

impl<T> core::ops::Deref for Unverified<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> core::ops::DerefMut for Unverified<T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.0
    }
}
"#;

/// All checks of the program whose source is in `folder`.
pub fn find(folder: &Path) -> Result<Vec<Site>> {
    let mut sites = Vec::new();
    for path in super::rust_files(folder)? {
        let source = fs::read_to_string(&path)?;
        let file = path.strip_prefix(folder)?.display().to_string();
        sites.extend(find_in(&file, &source).with_context(|| file.clone())?);
    }
    Ok(sites)
}

/// The checks of one file.
pub fn find_in(file: &str, source: &str) -> Result<Vec<Site>> {
    let mut finder = Finder {
        file,
        source,
        item: String::new(),
        text: String::new(),
        fields: Vec::new(),
        sites: Vec::new(),
    };
    finder.visit_file(&syn::parse_file(source)?);
    Ok(finder.sites)
}

struct Finder<'a> {
    file: &'a str,
    source: &'a str,
    /// The item that is being looked at, its text, and its fields.
    item: String,
    text: String,
    fields: Vec<String>,
    sites: Vec<Site>,
}

impl Finder<'_> {
    fn add(&mut self, kind: Kind, what: &dyn ToTokens, edits: Vec<(Range<usize>, String)>) {
        self.add_named(kind, self.item.clone(), what, edits);
    }

    fn add_named(
        &mut self,
        kind: Kind,
        item: String,
        what: &dyn ToTokens,
        edits: Vec<(Range<usize>, String)>,
    ) {
        let tokens = what.to_token_stream();
        let text = tokens.to_string().replace('\n', " ");
        let same = |site: &&Site| site.kind == kind && site.item == item && site.text == text;
        let ordinal = self.sites.iter().filter(same).count();
        let what = [
            self.file,
            &item,
            kind.name(),
            &text,
            &ordinal.to_string(),
            &self.text,
        ];
        let key = Sha256::digest(what.join("\0"))
            .iter()
            .take(6)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        let line = tokens.span().start().line;
        self.sites.push(Site {
            kind,
            file: self.file.into(),
            item,
            text,
            key,
            line,
            edits,
            library: None,
        });
    }

    /// Goes through a function of `name`.
    fn function(&mut self, name: String, tokens: &dyn ToTokens, visit: impl FnOnce(&mut Self)) {
        let outer = (
            std::mem::replace(&mut self.item, name),
            std::mem::replace(&mut self.text, normalized(tokens)),
        );
        visit(self);
        (self.item, self.text) = outer;
    }

    /// What an `#[account(…)]` demands of a field.
    fn account_attribute(&mut self, item: &str, attribute: &Attribute) {
        let Ok(list) = attribute.meta.require_list() else {
            return;
        };
        let arguments = arguments(list.tokens.clone());
        for (at, argument) in arguments.iter().enumerate() {
            let without = |more: &[usize]| {
                let gone = [&[at], more].concat();
                vec![(
                    list.tokens.span().byte_range(),
                    joined(&arguments, |at| !gone.contains(&at)),
                )]
            };
            let tokens = argument.iter().cloned().collect::<TokenStream>();
            if let Some(error) = argument.iter().position(
                |token| matches!(token, TokenTree::Punct(punct) if punct.as_char() == '@'),
            ) {
                let error: TokenStream = argument[error..].iter().cloned().collect();
                let edits = vec![(error.span().byte_range(), String::new())];
                self.add_named(Kind::Error, item.into(), &error, edits);
            }
            let kind = match name_of(argument).as_str() {
                "address" => Kind::Address,
                "constraint" => Kind::Constraint,
                "seeds" => {
                    let bump = arguments.iter().position(|other| name_of(other) == "bump");
                    let more: Vec<usize> = bump.into_iter().collect();
                    self.add_named(Kind::Seeds, item.into(), &tokens, without(&more));
                    // The handler still needs the bump.
                    let bump = self.bump(item, argument);
                    self.sites.last_mut().expect("just added").library = bump;
                    continue;
                }
                "signer" => Kind::Signer,
                "token" => Kind::Token,
                "mint" => Kind::Mint,
                "mut" => Kind::Mut,
                "close" => Kind::Close,
                _ => continue, // how an account is made
            };
            self.add_named(kind, item.into(), &tokens, without(&[]));
        }
    }

    /// Where the handler takes the bump of `seeds` from, and how it finds that without them.
    fn bump(&self, item: &str, seeds: &[TokenTree]) -> Option<(String, String)> {
        let (_, field) = item.split_once('.')?;
        let TokenTree::Group(list) = seeds.last()? else {
            return None;
        };
        let seeds: Vec<String> = arguments(list.stream())
            .iter()
            .map(|seed| {
                let mut text = String::new();
                for token in seed {
                    if self.fields.contains(&token.to_string()) {
                        text += "ctx.accounts.";
                    }
                    text += &token.to_string();
                }
                format!("({text}).as_ref()")
            })
            .collect();
        let seeds = seeds.join(", ");
        Some((
            format!("ctx.bumps.{field}"),
            format!("anchor_lang::find_program_address(&[{seeds}], &crate::ID).1"),
        ))
    }

    /// What a field's type demands.
    fn account_type(&mut self, item: &str, field: &Field) {
        let Type::Path(path) = &field.ty else { return };
        let Some(last) = path.path.segments.last() else {
            return;
        };
        let whole = field.ty.span().byte_range();
        let made_here = field.attrs.iter().any(|attribute| {
            let list = attribute.meta.require_list();
            list.is_ok_and(|list| {
                let arguments = arguments(list.tokens.clone());
                arguments.iter().any(|argument| name_of(argument) == "init")
            })
        });
        let unchecked = vec![(whole, "UncheckedAccount".into())];
        match last.ident.to_string().as_str() {
            "Signer" => self.add_named(Kind::Signer, item.into(), &field.ty, unchecked),
            "Program" | "Interface" => {
                self.add_named(Kind::Type, item.into(), &field.ty, unchecked);
            }
            "Account" if !made_here => {
                let PathArguments::AngleBracketed(generics) = &last.arguments else {
                    return;
                };
                if let Some(GenericArgument::Type(of)) = generics.args.first() {
                    let of = of.span().byte_range();
                    let edits = vec![
                        (of.start..of.start, "crate::Unverified<".into()),
                        (of.end..of.end, ">".into()),
                    ];
                    self.add_named(Kind::Type, item.into(), &field.ty, edits);
                }
            }
            _ => {}
        }
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_mod(&mut self, module: &'ast ItemMod) {
        if module.ident != "tests" {
            visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_struct(&mut self, item: &'ast ItemStruct) {
        let derives_accounts = item.attrs.iter().any(|attribute| {
            attribute.path().is_ident("derive")
                && attribute.to_token_stream().to_string().contains("Accounts")
        });
        if !derives_accounts {
            return;
        }
        let names = item.fields.iter().filter_map(|field| field.ident.as_ref());
        self.fields = names.map(ToString::to_string).collect();
        self.function(item.ident.to_string(), item, |finder| {
            for field in &item.fields {
                let Some(name) = &field.ident else { continue };
                let name = format!("{}.{name}", item.ident);
                for attribute in &field.attrs {
                    if attribute.path().is_ident("account") {
                        finder.account_attribute(&name, attribute);
                    }
                }
                finder.account_type(&name, field);
            }
        });
    }

    fn visit_item_impl(&mut self, item: &'ast ItemImpl) {
        let of = item.self_ty.to_token_stream().to_string();
        let outer = std::mem::replace(&mut self.item, of);
        visit::visit_item_impl(self, item);
        self.item = outer;
    }

    fn visit_impl_item_fn(&mut self, item: &'ast ImplItemFn) {
        let name = format!("{}::{}", self.item, item.sig.ident);
        self.function(name, item, |finder| {
            visit::visit_impl_item_fn(finder, item);
        });
    }

    fn visit_item_fn(&mut self, item: &'ast ItemFn) {
        self.function(item.sig.ident.to_string(), item, |finder| {
            visit::visit_item_fn(finder, item);
        });
    }

    fn visit_stmt(&mut self, statement: &'ast Stmt) {
        let only_checks = match statement {
            Stmt::Macro(call) => call
                .mac
                .path
                .get_ident()
                .is_some_and(|name| name.to_string().starts_with("require")),
            Stmt::Expr(Expr::Try(tried), Some(_)) => is_check(&tried.expr),
            _ => false,
        };
        match statement {
            _ if only_checks => {
                let edits = vec![(statement.span().byte_range(), String::new())];
                self.add(Kind::Require, statement, edits);
            }
            Stmt::Expr(last, None) if is_check(last) => {
                let edits = vec![(last.span().byte_range(), "Ok(())".into())];
                self.add(Kind::Require, last, edits);
            }
            Stmt::Expr(Expr::If(condition), _) if only_refuses(&condition.then_branch.stmts) => {
                let edits = vec![(statement.span().byte_range(), String::new())];
                self.add(Kind::Return, statement, edits);
            }
            _ => {}
        }
        visit::visit_stmt(self, statement);
    }

    fn visit_expr_if(&mut self, condition: &'ast ExprIf) {
        if let Some((_, otherwise)) = &condition.else_branch
            && let Expr::Block(block) = &**otherwise
            && only_refuses(&block.block.stmts)
        {
            // As in the case before.
            let case = &self.source[condition.then_branch.span().byte_range()];
            let edits = vec![(otherwise.span().byte_range(), case.to_owned())];
            self.add(Kind::Return, otherwise, edits);
        }
        visit::visit_expr_if(self, condition);
    }

    fn visit_expr_method_call(&mut self, call: &'ast syn::ExprMethodCall) {
        let method = call.method.to_string();
        if let Some(operation) = method.strip_prefix("checked_") {
            let whole = call.span().byte_range();
            let edits = vec![
                (whole.start..whole.start, "Some(".into()),
                (
                    call.method.span().byte_range(),
                    format!("wrapping_{operation}"),
                ),
                (whole.end..whole.end, ")".into()),
            ];
            self.add(Kind::Checked, call, edits);
        }
        visit::visit_expr_method_call(self, call);
    }
}

/// Whether a call does nothing but refuse.
fn is_check(expression: &Expr) -> bool {
    let name = match expression {
        Expr::MethodCall(call) if call.method == "map_err" => return is_check(&call.receiver),
        Expr::MethodCall(call) => call.method.to_string(),
        Expr::Call(call) => match &*call.func {
            Expr::Path(path) => path
                .path
                .segments
                .last()
                .map(|last| last.ident.to_string())
                .unwrap_or_default(),
            _ => return false,
        },
        _ => return false,
    };
    name.starts_with("require_")
        || ["validate", "invariant", "find_and_verify_program_address"].contains(&&*name)
}

/// Whether statements are `return Err(…);` or `return None;`.
fn only_refuses(statements: &[Stmt]) -> bool {
    let [Stmt::Expr(Expr::Return(returned), _)] = statements else {
        return false;
    };
    returned.expr.as_ref().is_some_and(|value| {
        let value = value.to_token_stream().to_string();
        value.starts_with("Err") || value == "None"
    })
}

/// The text of an item without its comments.
fn normalized(item: &dyn ToTokens) -> String {
    without_docs(item.to_token_stream()).to_string()
}

fn without_docs(tokens: TokenStream) -> TokenStream {
    let mut left = Vec::new();
    for token in tokens {
        match token {
            TokenTree::Group(group) => {
                let is_doc = matches!(
                    group.stream().into_iter().next(),
                    Some(TokenTree::Ident(name)) if name == "doc"
                );
                if is_doc && matches!(left.last(), Some(TokenTree::Punct(_))) {
                    left.pop(); // the hash
                    continue;
                }
                let inner = without_docs(group.stream());
                left.push(Group::new(group.delimiter(), inner).into());
            }
            other => left.push(other),
        }
    }
    left.into_iter().collect()
}

/// The arguments of an attribute.
fn arguments(tokens: TokenStream) -> Vec<Vec<TokenTree>> {
    let mut arguments = vec![Vec::new()];
    for token in tokens {
        match &token {
            TokenTree::Punct(punct) if punct.as_char() == ',' => arguments.push(Vec::new()),
            _ => arguments.last_mut().expect("one at least").push(token),
        }
    }
    arguments.retain(|argument| !argument.is_empty());
    arguments
}

fn name_of(argument: &[TokenTree]) -> String {
    match argument.first() {
        Some(TokenTree::Ident(name)) => name.to_string(),
        _ => String::new(),
    }
}

/// The arguments that stay.
fn joined(arguments: &[Vec<TokenTree>], stays: impl Fn(usize) -> bool) -> String {
    let staying = arguments
        .iter()
        .enumerate()
        .filter(|&(at, _)| stays(at))
        .map(|(_, argument)| {
            argument
                .iter()
                .cloned()
                .collect::<TokenStream>()
                .to_string()
        });
    staying.collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOURCE: &str = r#"
        #[derive(Accounts)]
        pub struct Pay {
            #[account(mut, address = vault.owner @ DriftShieldError::NotOwner)]
            pub owner: Signer,
            #[account(mut, seeds = [b"vault", owner.address().as_ref()], bump)]
            pub vault: Account<Vault>,
            pub token_program: Program<Token>,
        }
        impl Pay {
            /// Comments don't count.
            pub fn pay(&mut self, amount: u64) -> Result<()> {
                require!(0 < amount, DriftShieldError::ZeroAmount);
                self.vault.require_open()?;
                if amount == 7 {
                    return Err(DriftShieldError::Seven.into());
                }
                let odd = if amount % 2 == 1 {
                    true
                } else {
                    return Err(DriftShieldError::Even.into());
                };
                let left = self.left.checked_sub(amount).ok_or(Short)?;
                self.validate(left)
            }
        }
    "#;

    fn sites() -> Vec<Site> {
        find_in("pay.rs", SOURCE).expect("it parses")
    }

    #[test]
    fn every_kind_of_check_is_found() {
        let found: Vec<(Kind, String)> = sites()
            .into_iter()
            .map(|site| (site.kind, site.item))
            .collect();
        let expected = [
            (Kind::Mut, "Pay.owner"),
            (Kind::Error, "Pay.owner"),
            (Kind::Address, "Pay.owner"),
            (Kind::Signer, "Pay.owner"),
            (Kind::Mut, "Pay.vault"),
            (Kind::Seeds, "Pay.vault"),
            (Kind::Type, "Pay.vault"),
            (Kind::Type, "Pay.token_program"),
            (Kind::Require, "Pay::pay"),
            (Kind::Require, "Pay::pay"),
            (Kind::Return, "Pay::pay"),
            (Kind::Return, "Pay::pay"),
            (Kind::Checked, "Pay::pay"),
            (Kind::Require, "Pay::pay"),
        ];
        let expected = expected.map(|(kind, item)| (kind, item.to_owned()));
        assert_eq!(found, expected);
    }

    #[test]
    fn a_mutant_lacks_its_check_and_nothing_else() {
        for site in sites() {
            let mutant = site.taken_from(SOURCE);
            syn::parse_file(&mutant).unwrap_or_else(|e| panic!("{site}: {e}: {mutant}"));
            let left = find_in("pay.rs", &mutant).expect("it parses").len();
            let gone = sites().len() - left;
            let expected = match site.kind {
                Kind::Address => 2,                                  // its error goes with it
                Kind::Type if site.text.starts_with("Account") => 0, // another account in its place
                _ => 1,
            };
            assert_eq!(gone, expected, "{site}: {mutant}");
        }
    }

    #[test]
    fn without_its_seeds_a_bump_is_still_found() {
        let seeds = sites().into_iter().find(|site| site.kind == Kind::Seeds);
        let library = seeds.expect("one").library("pay(ctx.bumps.vault)");
        let found = r#"(b"vault").as_ref(), (ctx.accounts.owner.address().as_ref()).as_ref()"#;
        assert_eq!(
            library,
            format!("pay(anchor_lang::find_program_address(&[{found}], &crate::ID).1)")
        );
    }

    #[test]
    fn a_check_keeps_its_key_while_its_item_is_the_same() {
        let other = SOURCE.replace("Comments don't count.", "Really.");
        let keys = |source: &str| -> Vec<String> {
            let sites = find_in("pay.rs", source).expect("it parses");
            sites.into_iter().map(|site| site.key).collect()
        };
        assert_eq!(keys(SOURCE), keys(&other));
        let other = SOURCE.replace("0 < amount", "1 < amount");
        let (before, after) = (keys(SOURCE), keys(&other));
        assert_eq!(before[..8], after[..8]);
        assert_ne!(before[9], after[9]);
    }
}
