package policytest

import (
	"github.com/neosofia/runner/runtime/ledger"
	"go.starlark.net/starlark"
)

// Word is one that tests can say beside what policies can. The example is the body of a
// test, with a policy's main.
type Word struct{ Name, Args, Doc, Example string }

// Words lists the language of tests.
func Words() []Word {
	return []Word{
		{"case", "given, args, faults, answers, want, proven, steps, clock", "a situation and how its run must end. given: what the world is " +
			"like; faults: {call: code}; answers: {call: what it returns}, of calls that only read", `
c = case(answers = {"guests()": ["erp", "mail"]}, want = ok(), proven = everything_but(), steps = never("snapshot_vm(guest=git)"))
t.expect(t.run(main, c), c)`},
		{"ok", "", "want: the run ends ok; the default", `
c = case(want = ok())
t.expect(t.run(main, c), c)`},
		{"degraded", "names...", "want: the run ends degraded, and what it found names each of these", `
c = case(faults = {"copy(to=offline-a)": "E_MEDIA_OVERDUE"}, want = degraded("offline-a"))
t.expect(t.run(main, c), c)`},
		{"failed", "names...", "want: the run fails, and what it says names each of these: an item, a target, a code", `
c = case(faults = {"snapshot_vm(guest=erp)": "E_GUEST_LOCKED"}, want = failed("erp"))
t.expect(t.run(main, c), c)`},
		{"everything_but", "names...", "proven: every item is proven as the site demands but these, and these are not", `
c = case(faults = {"snapshot_vm(guest=erp)": "E_GUEST_LOCKED"}, want = failed(), proven = everything_but("erp"))
t.expect(t.run(main, c), c)`},
		{"once", "code, times", "a fault that happens once, or so many times, and not again", `
c = case(faults = {"verify(target=offsite)": once("E_DAMAGED")}, want = failed("offsite"))
t.expect(t.run(main, c), c)`},
		{"exactly", "calls...", "steps: these calls, in any order, and no other", `
r = t.run(lambda: guests())
t.steps(r, exactly("guests()"))`},
		{"among_others", "calls...", "steps: each of these calls, in any order, and others as well", `
t.steps(t.run(main), among_others("copy(to=offsite)", "verify(target=offsite)"))`},
		{"in_order", "calls...", "steps: these calls one after another as the policy says them; others may stand between", `
t.steps(t.run(main), in_order("snapshot_vm(guest=erp)", "copy(to=offsite)", "verify(target=offsite)"))`},
		{"never", "calls...", "steps: none of these calls", `
c = case(given = {"guests": ["erp"]}, steps = [never("snapshot_vm(guest=mail)"), never("prune()")])
t.expect(t.run(main, c), c)`},
		{"fake_artifact", "id, item, created", "an artifact as history() returns it, for rules that choose among them", `
t.eq(fake_artifact(id = "1", item = "erp", created = time.parse("2026-03-31T02:00:00Z")).item, "erp")`},
		{"t.run", "main, case, meanwhile", "run a policy; returns result, error, findings, steps, copies and value. meanwhile = {call: " +
			"function} is done while that call is under way", `
r = t.run(main, meanwhile = {"snapshot_vm(guest=erp)": lambda: t.advance("1h")})
t.eq(r.result, "ok")`},
		{"t.retry", "main, run", "retry what a run left undone, without faults", `
r = t.run(main, case(faults = {"snapshot_vm(guest=erp)": "E_GUEST_LOCKED"}))
t.eq(r.result, "failed")
t.eq(t.retry(main, r).result, "ok")`},
		{"t.advance", "by", "move the clock: \"1d\", and \"-1h\" back", `
t.advance("1d")
t.eq(t.run(main).result, "ok")`},
		{"t.expect", "run, case", "the run ended as the case wants, its items are proven, and its steps are those", `
c = case(want = ok(), proven = everything_but())
t.expect(t.run(main, c), c)`},
		{"t.steps", "run, steps...", "what a run did, in the words exactly, among_others, in_order and never", `
t.steps(t.run(main), among_others("guests()"), never("prune()"))`},
		{"t.eq", "got, want", "the values are equal", `
t.eq(sorted(["b", "a"]), ["a", "b"])`},
		{"t.true", "cond, text", "the condition holds; text says what it is", `
t.true(len(t.run(main).copies) > 0, "nothing was copied")`},
	}
}

// environment is predeclared in tests beside what policies have.
func (s *suite) environment() starlark.StringDict {
	env := starlark.StringDict{}
	for name, fn := range map[string]builtin{
		"case": s.makeCase, "ok": wants(ledger.OK), "degraded": wants(ledger.DegradedRun), "failed": wants(ledger.Failed),
		"everything_but": everythingBut, "once": once, "fake_artifact": fakeArtifact,
		"exactly": stepsOf, "among_others": stepsOf, "in_order": stepsOf, "never": stepsOf,
	} {
		env[name] = starlark.NewBuiltin(name, fn)
	}
	return env
}
