//! What the process takes of its machine, under the names that every Prometheus client gives it. Where the system does not
//! tell (there is no `/proc`), a metric is left out.

use std::{fs, time::SystemTime};

use pinport_pipeline::machine;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, EncodeMetric as _},
    metrics::{counter::ConstCounter, gauge::ConstGauge},
    registry::Unit,
};

/// The process, and when it began.
#[derive(Debug)]
pub(super) struct Process {
    begun: f64,
}

impl Process {
    /// One that begins now.
    pub(super) fn new() -> Self {
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        Self { begun: since.as_secs_f64() }
    }
}

impl Collector for Process {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> std::fmt::Result {
        let cpu = ConstCounter::new(machine::cpu_time().as_secs_f64());
        let help = "Time that the process took of the CPUs, in user and system mode";
        let seconds = Some(&Unit::Seconds);
        cpu.encode(encoder.encode_descriptor("process_cpu", help, seconds, cpu.metric_type())?)?;
        let mut gauge = |name: &str, help: &str, value: Option<f64>| {
            let Some(value) = value else { return Ok(()) };
            let gauge = ConstGauge::new(value);
            gauge.encode(encoder.encode_descriptor(name, help, None, gauge.metric_type())?)
        };
        gauge("process_start_time_seconds", "When the process began, as a Unix time", Some(self.begun))?;
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let limits = fs::read_to_string("/proc/self/limits").unwrap_or_default();
        let number = |text: &str, name| machine::number(text, name).map(|number| number as f64);
        let bytes = |name| number(&status, name).map(|kib| kib * 1024.0);
        gauge("process_resident_memory_bytes", "Memory that the process has", bytes("VmRSS:"))?;
        gauge("process_virtual_memory_bytes", "Addresses that the process has", bytes("VmSize:"))?;
        gauge("process_threads", "Threads of the process", number(&status, "Threads:"))?;
        // One of them is the folder that is read.
        let open = fs::read_dir("/proc/self/fd").ok().map(|files| files.count().saturating_sub(1) as f64);
        gauge("process_open_fds", "Files and sockets that are open", open)?;
        gauge("process_max_fds", "Files and sockets that may be open", number(&limits, "Max open files"))
    }
}
