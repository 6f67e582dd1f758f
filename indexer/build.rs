fn main() {
    // `sqlx::migrate!` embeds the migrations in the binary.
    println!("cargo:rerun-if-changed=../migrations");
}
