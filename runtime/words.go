package runtime

// Word is a name of policies that is not a primitive: it steers, or computes. The example
// is the body of a main, or, where Top is set, stands at the top level of its file.
type Word struct {
	Name, Args, Doc, Example string
	Top                      bool
}

// Words lists what policies can name beside the primitives.
func Words() []Word {
	return []Word{
		{Name: "each", Args: "calls, max?",
			Doc: "run independent procedures, at most max at once; a failure of one fails the run and keeps no other from its work. Returns " +
				"struct(ok, value, error) for each, in the order of the list", Example: `
outcomes = each([lambda g = g: snapshot_vm(guest = g) for g in guests()], max = 2)
log(text = "%d guests are saved" % len([o for o in outcomes if o.ok]))`},
		{Name: "parallel", Args: "calls, max?",
			Doc: "run calls that need one another's success, at most max at once; results in the order of the list, or the error of the first " +
				"that failed", Example: `
system, zone = parallel([lambda: export_firewall(system = "pve"), lambda: export_dns(zone = "example.org")])
copy(artifact = system)
copy(artifact = zone)`},
		{Name: "catch", Args: "fn",
			Doc: "call a function and return struct(ok, value, error): error has code, message and position. Codes alone that a primitive " +
				"declares are caught, no limit and no mistake of the policy", Example: `
r = catch(lambda: snapshot_vm(guest = "erp"))
if not r.ok and r.error.code != "E_GUEST_LOCKED":
    fail(r.error.message)`},
		{Name: "policy", Args: "sop, section, version, protects?, optional?",
			Doc: "declare, once and at the top level of a file, which procedure it is and which assets a run must leave complete. optional = " +
				"True: what the site does not declare of them is left alone, with a line that says so", Top: true, Example: `
policy(sop = "IT-245", section = "VM Procedures", version = "1.0.0", protects = ["virtual_machines"])`},
		{Name: "time.parse", Args: "text",
			Doc: "a moment in UTC, with year, month, day, hour, minute, second, weekday (1 is Monday), yearday, iso_week, iso_year and unix. " +
				"Moments are compared; their difference is seconds. The clock is now()", Example: `
late = now() > time.parse("2020-01-31T02:00:00Z")
log(text = "late: %s" % late)`},
		{Name: "time.unix", Args: "seconds", Doc: "the moment so many seconds after 1970", Example: `
log(text = "%d" % time.unix(86400).day)`},
		{Name: "time.duration", Args: "text",
			Doc: "the seconds of a duration such as 36h, 7d, 2w or 1y; arguments that are durations take them, and such texts as well", Example: `
old = now() - time.duration("28d")
log(text = "before %s" % old)`},
		{Name: "fail", Args: "text", Doc: "end the run as failed, with this text; catch does not catch it", Example: `
if not guests():
    fail("the cluster is empty")`},
		{Name: "print", Args: "values...", Doc: "write a line to standard error; log(text = ...) is recorded as well", Example: `
print("two lines", 2)`},
		{Name: "range", Args: "start?, stop, step?", Doc: "numbers in their order, at most as many as --max-range allows", Example: `
log(text = "%d" % len([i for i in range(2, 10, 2)]))`},
		{Name: "str", Args: "value", Doc: "the value as text; in a plan of what is not known yet it ends the plan", Example: `
log(text = "kept: " + str(28))`},
		{Name: "repr", Args: "value", Doc: "the value as it is written in Starlark", Example: `
log(text = "guest " + repr("erp"))`},
	}
}
