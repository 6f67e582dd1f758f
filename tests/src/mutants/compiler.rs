//! Finds the mutants that keep a build with several mutants from compiling.

use std::path::{Path, PathBuf};

use super::sites::Site;

/// A line of a source file, relative to the root of the repository.
type Place = (PathBuf, usize);

/// The places of the errors in the compiler's output.
pub fn errors(output: &str) -> Vec<Place> {
    let mut places = Vec::new();
    let mut in_error = false;
    for line in output.lines() {
        if line.starts_with("error") || line.starts_with("warning") {
            in_error = line.starts_with("error");
        } else if let Some(place) = line.trim_start().strip_prefix("--> ")
            && in_error
        {
            in_error = false; // other places of the same error are notes
            let mut fields = place.split(':');
            if let (Some(path), Some(Ok(line))) = (fields.next(), fields.next().map(str::parse)) {
                places.push((path.into(), line));
            }
        }
    }
    places
}

/// Splits the sites of a failed build into those to build again and those to leave out: the sites at the
/// places of the errors, otherwise those in the same files, otherwise half of all.
pub fn split<'a>(sites: &[&'a Site], errors: &[Place]) -> (Vec<&'a Site>, Vec<&'a Site>) {
    let is_at = |site: &Site, (path, line): &Place| {
        site.path() == *path && (site.line..=site.end_line).contains(line)
    };
    let at = |place: &Place| {
        let here = sites.iter().filter(|site| is_at(site, place));
        here.min_by_key(|site| site.end_line - site.line)
    };
    let blamed: Vec<&str> = errors
        .iter()
        .filter_map(at)
        .map(|site| site.key.as_str())
        .collect();
    let (bad, good): (Vec<_>, Vec<_>) = sites
        .iter()
        .partition(|site| blamed.contains(&site.key.as_str()));
    if !bad.is_empty() {
        return (good, bad);
    }
    let is_named = |path: &Path| errors.iter().any(|(named, _)| named == path);
    let (bad, good): (Vec<_>, Vec<_>) = sites.iter().partition(|site| is_named(&site.path()));
    if !bad.is_empty() {
        return (good, bad);
    }
    let (good, bad) = sites.split_at(sites.len() / 2);
    (good.to_vec(), bad.to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutants::sites::find_in;

    const OUTPUT: &str = "\
   Compiling driftshield
warning: unused
 --> programs/driftshield/src/token.rs:9:1
error[E0308]: mismatched types
  --> programs/driftshield/src/token.rs:2:5
  ::: programs/driftshield/src/token.rs:1:5
error: could not compile `driftshield`
";

    #[test]
    fn sites_at_errors_are_left_out() {
        let source = "fn a() {\n  require!(1);\n  require!(2);\n}";
        let sites = find_in("token.rs", source).expect("the source parses");
        let sites: Vec<_> = sites.iter().collect();
        let errors = errors(OUTPUT);
        assert_eq!(errors, [("programs/driftshield/src/token.rs".into(), 2)]);
        let lines = |sites: &[&Site]| sites.iter().map(|site| site.line).collect::<Vec<_>>();
        let (good, bad) = split(&sites, &errors);
        assert_eq!((lines(&good), lines(&bad)), (vec![3], vec![2]));
        let elsewhere = [("programs/driftshield/src/token.rs".into(), 4)];
        let (good, bad) = split(&sites, &elsewhere);
        assert_eq!((lines(&good), lines(&bad)), (vec![], vec![2, 3]));
        let (good, bad) = split(&sites, &[]);
        assert_eq!((lines(&good), lines(&bad)), (vec![2], vec![3]));
    }
}
