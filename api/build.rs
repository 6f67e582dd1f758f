fn main() {
    // The tests embed the migrations.
    println!("cargo:rerun-if-changed=../migrations");
}
