"""(Config, HostFacts, Request) -> Plan, without touching the machine."""
