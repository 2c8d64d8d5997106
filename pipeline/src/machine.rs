//! What the process takes of its machine, as the system tells it. Nothing is kept here but the last measurement.

use std::{
    fs, thread,
    time::{Duration, Instant},
};

/// CPU time that the process has taken, in user and system mode.
pub fn cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap_or(0), time.tv_nsec.try_into().unwrap_or(0))
}

/// What `/proc/self/status` has in the line that begins with a name, in bytes; nothing where there is no `/proc`.
pub fn memory(name: &str) -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    number(&status, name).map(|kib| kib * 1024)
}

/// The first number of the line that begins with a name.
pub fn number(text: &str, name: &str) -> Option<u64> {
    let rest = text.lines().find_map(|line| line.strip_prefix(name))?;
    rest.split_whitespace().next()?.parse().ok()
}

/// Measures how busy the process is, once a second at most.
#[derive(Debug)]
pub struct Load {
    cpus: u32,
    since: (Instant, Duration),
    cpu: f64,
    memory: Option<u64>,
}

impl Default for Load {
    fn default() -> Self {
        let cpus = thread::available_parallelism().map_or(1, usize::from);
        Self {
            cpus: u32::try_from(cpus).unwrap_or(u32::MAX),
            since: (Instant::now(), cpu_time()),
            cpu: 0.0,
            memory: memory("VmRSS:"),
        }
    }
}

impl Load {
    /// Closer together, measurements say more about the clock.
    const EVERY: Duration = Duration::from_secs(1);

    /// CPUs that were busy over the last second, or over the time since the measurement before if that was longer; how
    /// many there are; and the memory that the process has.
    pub fn measure(&mut self) -> (f64, u32, Option<u64>) {
        let passed = self.since.0.elapsed();
        if passed >= Self::EVERY {
            let now = (Instant::now(), cpu_time());
            self.cpu = now.1.saturating_sub(self.since.1).as_secs_f64() / passed.as_secs_f64();
            self.since = now;
            self.memory = memory("VmRSS:");
        }
        (self.cpu, self.cpus, self.memory)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_found_by_the_name_of_their_line() {
        let text = "Name:\tpinport\nVmRSS:\t  1234 kB\nMax open files            1024   4096   files\n";
        assert_eq!(number(text, "VmRSS:"), Some(1234));
        assert_eq!(number(text, "Max open files"), Some(1024));
        assert_eq!(number(text, "VmSize:"), None);
        assert_eq!(number("Max open files  unlimited unlimited", "Max open files"), None);
    }

    #[test]
    fn a_busy_process_is_measured_as_one() {
        let mut load = Load::default();
        load.since.0 -= Load::EVERY;
        let (begun, mut work) = (Instant::now(), 0_u64);
        while cpu_time().saturating_sub(load.since.1) < Duration::from_millis(20) {
            work = std::hint::black_box(work + 1);
            assert!(begun.elapsed() < Duration::from_secs(60));
        }
        let (cpu, cpus, _) = load.measure();
        assert!(cpu > 0.0 && cpus > 0);
        assert_eq!(load.measure().0, cpu, "a second has not passed");
    }
}
