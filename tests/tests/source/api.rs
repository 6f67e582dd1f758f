//! Nothing in the API can sign or send, and every route that isn't a GET is known.

use std::{collections::BTreeSet, fs, path::PathBuf};

use driftshield_tests::{idl, mutants::rust_files};
use proc_macro2::{TokenStream, TokenTree};
use quote::ToTokens;
use syn::{Attribute, visit::Visit};

/// The routes of the OpenAPI document other than GET: method and path.
///
/// A route that is added here changes nothing on the chain: it computes something, has accounts read again, or
/// builds an unsigned transaction.
const NOT_GET: &[&str] = &[
    "delete /insurance/policies/{policy}",
    "delete /models/{model}",
    "options /actions.json",
    "options /actions/{name}",
    "patch /models/{model}",
    "post /actions/{name}",
    "post /insurance/policies",
    "post /insurance/policies/{policy}/claim",
    "post /insurance/policies/{policy}/renew",
    "post /insurance/quote",
    "post /insurance/vaults",
    "post /insurance/vaults/{vault}/deposit",
    "post /insurance/vaults/{vault}/withdraw",
    "post /markets",
    "post /markets/{market}/asks",
    "post /markets/{market}/bet",
    "post /markets/{market}/buy",
    "post /markets/{market}/claim",
    "post /markets/{market}/resolve",
    "post /models",
    "post /models/{model}/fund",
    "post /models/{model}/monitoring-agent/config",
    "post /oracles/{oracle}/collect",
    "post /wallet/{wallet}/sync",
];

/// Parts of names of what signs and sends: the SDK has them behind its feature `send`.
const FORBIDDEN: &[&str] = &[
    "Keypair",
    "Signer",
    "send_transaction",
    "send_and_confirm",
    "RpcClient",
    "try_sign",
];

/// The node's method that sends.
const SENDING_METHOD: &str = "sendTransaction";

/// Ways to add a route that the OpenAPI document doesn't have.
const UNDOCUMENTED: &[&str] = &[
    "routing::post",
    "routing::put",
    "routing::patch",
    "routing::delete",
    "routing::any",
    "routing::on",
    "routing::*",
    "routing::{",
    "MethodFilter",
    "route_service",
];

/// The file with the one route beside the document: MCP, which carries out the document's operations.
const TOOLS: &str = "mcp.rs";

fn api() -> PathBuf {
    idl::root().join("api")
}

/// The API's source files: path and text.
fn sources() -> Vec<(PathBuf, String)> {
    let files = rust_files(&api().join("src")).unwrap();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path, text)
    };
    files.into_iter().map(read).collect()
}

/// The names in a program, without its comments and texts.
fn names(tokens: TokenStream) -> Vec<String> {
    let names = tokens.into_iter().flat_map(|token| match token {
        TokenTree::Ident(name) => vec![name.to_string()],
        TokenTree::Group(group) => names(group.stream()),
        TokenTree::Punct(_) | TokenTree::Literal(_) => vec![],
    });
    names.collect()
}

/// Collects the method and the path of every `#[utoipa::path]`.
#[derive(Default)]
struct Routes(BTreeSet<String>);

impl Visit<'_> for Routes {
    fn visit_attribute(&mut self, attribute: &Attribute) {
        let name = attribute.path().to_token_stream().to_string();
        if name.replace(' ', "") == "utoipa::path" {
            let list = attribute.meta.require_list().unwrap();
            let tokens = list.tokens.to_string();
            let method = tokens.split(|c: char| !c.is_alphanumeric()).next();
            let path = tokens.split_once("path = \"").expect("a path").1;
            let path = path.split('"').next().unwrap();
            self.0.insert(format!("{} {path}", method.unwrap()));
        }
    }
}

#[test]
fn the_api_does_not_enable_what_signs_or_sends() {
    let manifest = fs::read_to_string(api().join("Cargo.toml")).unwrap();
    let sdk = "driftshield-sdk = { workspace = true, features = [\"rpc\"] }";
    assert!(manifest.contains(sdk), "another line than: {sdk}");
    for dependency in ["solana-", "spl-", "reqwest"] {
        let lines = manifest.lines();
        let found: Vec<_> = lines.filter(|line| line.starts_with(dependency)).collect();
        assert!(found.is_empty(), "{found:?}");
    }
}

#[test]
fn the_api_names_nothing_that_signs_or_sends() {
    for (path, text) in sources() {
        let path = path.display();
        assert!(!text.contains(SENDING_METHOD), "{path}");
        let tokens = syn::parse_file(&text).unwrap().into_token_stream();
        for name in names(tokens) {
            let is_forbidden = FORBIDDEN.iter().any(|part| name.contains(part));
            assert!(!is_forbidden, "{path} names {name}");
        }
    }
}

#[test]
fn every_route_that_is_not_a_get_is_on_the_list() {
    let mut routes = Routes::default();
    for (path, text) in sources() {
        let is_tools = path.ends_with(TOOLS);
        for name in UNDOCUMENTED {
            let is_used = text.contains(name) && !(is_tools && *name == "route_service");
            assert!(!is_used, "{} uses {name}", path.display());
        }
        routes.visit_file(&syn::parse_file(&text).unwrap());
    }
    let all = routes.0;
    assert!(all.contains("get /models"), "{all:?}");
    let found: Vec<_> = all
        .iter()
        .filter(|route| !route.starts_with("get "))
        .collect();
    assert_eq!(found, NOT_GET);
}

#[test]
fn the_sdk_signs_and_sends_only_with_its_feature() {
    let sdk = idl::root().join("sdk/src/rpc");
    for path in rust_files(&sdk).unwrap() {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).unwrap();
        if name != "send.rs" {
            for name in ["solana_keypair", "send_transaction"] {
                assert!(!text.contains(name), "{} has {name}", path.display());
            }
        }
    }
    let module = fs::read_to_string(idl::root().join("sdk/src/rpc.rs")).unwrap();
    assert!(module.contains("#[cfg(feature = \"send\")]\nmod send;"));
}
