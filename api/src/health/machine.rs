//! What the process uses of its machine, and what the machine has left.

use nix::sys::statvfs::statvfs;
use procfs::{Current, LoadAverage, Meminfo, ProcResult, WithCurrentSystemInfo, process::Process};
use serde::Serialize;

#[derive(Serialize)]
pub struct Machine {
    /// Processor time of this process since its start, in seconds.
    process_cpu_secs: f64,
    /// Resident memory of this process, in bytes.
    process_memory_bytes: u64,
    /// Files and connections that this process has open.
    process_open_files: usize,
    /// Number of processors.
    processors: usize,
    /// Processes that ran or waited for a processor, on average over the last minute.
    load: f32,
    /// Memory of the machine, in bytes, and what of it new processes can use.
    memory_bytes: u64,
    available_memory_bytes: Option<u64>,
    /// Size of the file system of the working directory, in bytes, and what of it is free; null if it can't be read.
    disk_bytes: Option<u64>,
    available_disk_bytes: Option<u64>,
}

impl Machine {
    /// Reads the state.
    ///
    /// # Errors
    ///
    /// If `/proc` can't be read.
    pub fn read() -> ProcResult<Self> {
        let process = Process::myself()?;
        let stat = process.stat()?;
        let ticks = (stat.utime + stat.stime) as f64;
        let memory = Meminfo::current()?;
        let disk = statvfs(".").ok();
        Ok(Self {
            process_cpu_secs: ticks / procfs::ticks_per_second() as f64,
            process_memory_bytes: stat.rss_bytes().get(),
            process_open_files: process.fd_count()?,
            processors: std::thread::available_parallelism().map_or(1, usize::from),
            load: LoadAverage::current()?.one,
            memory_bytes: memory.mem_total,
            available_memory_bytes: memory.mem_available,
            disk_bytes: disk.map(|disk| disk.blocks() * disk.fragment_size()),
            available_disk_bytes: disk.map(|disk| disk.blocks_available() * disk.fragment_size()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_uses_less_than_the_machine_has() {
        let machine = Machine::read().unwrap();
        assert!(0 < machine.process_memory_bytes);
        assert!(machine.process_memory_bytes < machine.memory_bytes);
        assert!(machine.available_memory_bytes.unwrap() < machine.memory_bytes);
        assert!(machine.available_disk_bytes.unwrap() <= machine.disk_bytes.unwrap());
        assert!(2 < machine.process_open_files);
    }
}
