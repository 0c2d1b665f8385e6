package tests

import (
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/neosofia/runner/tests/internal/program"
)

// share makes values whose text, comparison or hash would take for ever.
const share = `
def deep(n, pair):
    x = pair(1, 1)
    for i in range(n):
        x = pair(x, x)
    return x
`

// wide are two values that are equal, after 10^21 comparisons.
const wide = `def main():
    x, y = [1] * 1000, [1] * 1000
    for i in range(7):
        x, y = [x] * 1000, [y] * 1000
`

const forEver = "the time of one operation|the running time"

// hostile policies: whatever one instruction does, the process ends with 5, says which
// limit was hit, and takes at most 1 GiB above what it needs to start.
var hostile = map[string]struct {
	text string
	want string // in the error; "": it may also fail otherwise
	load bool   // it is hit before anything is run: check finds it, too
}{
	"extend itself": {"def main():\n    x = [1]\n    for i in range(100):\n        x.extend(x)", "the length of a list", false},
	"add itself":    {"def main():\n    x = [1]\n    for i in range(100):\n        x += x", "the length of an operand of +", false},
	"concatenate":   {"def main():\n    x = \"a\"\n    for i in range(100):\n        x = x + x", "the length of an operand of +", false},
	"format": {"def main():\n    x = \"a\" * 1000\n    for i in range(100):\n        x = \"%s%s\" % (x, x)",
		"the length of a string", false},
	"format of many": {"def main():\n    n = 400000\n    x = (\"%s\" * n) % tuple([str(list(range(1000)))] * n)", "the length of a string",
		false},
	"format in place": {"def main():\n    x = \"%s\" * 1000\n    for i in range(100):\n        x %= tuple([x] * x.count(\"%\"))",
		"the length of a string", false},
	"format by name": {"def main():\n    x = (\"%(a)s\" * 100000) % {\"a\": \"b\" * 900000}", "the length of a string", false},
	"format method":  {"def main():\n    x = (\"{0}\" * 100000).format(\"b\" * 900000)", "the length of a string", false},
	"join":           {"def main():\n    x = (\"b\" * 900000).join([\"a\"] * 100000)", "the length of a string", false},
	"replace":        {"def main():\n    x = (\"b\" * 900000).replace(\"\", \"b\" * 10000)", "the length of a string", false},

	"text of what is shared": {share + "\ndef main():\n    x = str(deep(60, lambda a, b: [a, b]))", "the length of a string", false},
	"text in a format":       {share + "\ndef main():\n    x = \"%s\" % [deep(60, lambda a, b: (a, b))]", "the length of a string", false},
	"print what is shared":   {share + "\ndef main():\n    print(deep(60, lambda a, b: [a, b]))", "the length of a string", false},
	"fail with what is shared": {share + "\ndef main():\n    fail(deep(60, lambda a, b: {\"a\": a, \"b\": b}))", "the length of a string",
		false},
	"hash what is shared":     {share + "\ndef main():\n    x = {deep(60, lambda a, b: (a, b)): 1}", forEver, false},
	"compare what is shared":  {wide + "    print(x == y)", forEver, false},
	"look for what is shared": {wide + "    print(y in [x])", forEver, false},
	"pass on what is shared":  {share + "\ndef main():\n    log(message = deep(60, lambda a, b: [a, b]))", "", false},

	"a fan that names itself": {"def main():\n    def again():\n        each([again])\n    each([again])", "names itself", false},
	"a fan that names itself, in parallel": {"def main():\n    def again():\n        parallel([again, again])\n    again()", "names itself",
		false},
	"fans in one another": {"def make(f):\n    return lambda: each([f])\n\ndef main():\n    f = lambda: 1\n    for i in " +
		"range(10000):\n        f = make(f)\n    f()", "the depth of each", false},
	"a function that names itself, kept": {"def make():\n    def again():\n        return (again,)\n    return again\n\nX = make()\n\ndef " +
		"main():\n    pass", "names itself", true},
	"steps multiplied": {"def work():\n    for i in range(1000000):\n        for j in range(20):\n            pass\n\ndef main():\n   " +
		" each([work] * 1000)", "the number of steps of a policy|the running time", false},
	"memory by small parts": {"def main():\n    x = []\n    for i in range(1000000):\n        x.append(str(i) * 10000)",
		"the heap in bytes|the running time", false},
	"memory in branches": {"def work():\n    x = []\n    for i in range(1000000):\n        x.append(str(i) * 10000)\n\ndef main():\n    " +
		"each([work] * 16)", "the heap in bytes|the running time", false},

	"a long sum":    {"X = 1" + strings.Repeat("+1", 300000) + "\n\ndef main():\n    pass", "the nesting of expressions", true},
	"many brackets": {"X = " + strings.Repeat("[", 500000) + "\n\ndef main():\n    pass", "the nesting of brackets", true},
	"many fans": {"def main():\n    " + strings.Repeat("each([lambda: ", 50000) + "1" + strings.Repeat("])", 50000),
		"the nesting of brackets", true},
	"load without end": {"def f():\n    for i in range(1000000):\n        for j in range(1000000):\n            pass\n\nf()\n\ndef " +
		"main():\n    pass", "the number of steps of a policy|the time that a file takes to load", true},
	"hash at load": {share + "\nX = {deep(60, lambda a, b: (a, b)): 1}\n\ndef main():\n    pass",
		"the time of one operation|the time that a file takes to load", true},
}

func TestHostilePoliciesEndAtTheirLimit(t *testing.T) {
	bin, err := program.Build(t.TempDir(), "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "site.star"), []byte("asset(name = \"virtual_machines\", title = \"Virtual Machines\")\n"),
		0o600); err != nil {
		t.Fatal(err)
	}
	base := usage(t, bin, dir, "check", write(t, dir, "harmless", "def main():\n    pass"))
	for name, c := range hostile {
		path := write(t, dir, name, c.text)
		for _, verb := range []string{"exec", "plan", "check"} {
			if verb == "check" && !c.load {
				continue
			}
			t.Run(verb+" "+name, func(t *testing.T) {
				limit := "1s"
				if c.want != "" && !strings.Contains(c.want, "the running time") {
					limit = "1m" // another limit is hit, however busy the machine is
				}
				u := usage(t, bin, dir, verb, "--max-time", limit, "--state", filepath.Join(t.TempDir(), "state"), path)
				switch {
				case c.want == "" && (u.code == 0 || u.code > 5):
					t.Errorf("code %d:\n%.2000s", u.code, u.text)
				case c.want == "names itself" && u.code != 0 && u.code <= 5 && anyOf(u.text, c.want): // a mistake, not a limit
				case c.want != "" && (!anyOf(u.text, c.want) || u.code != 5):
					t.Errorf("code %d, want 5 and %q:\n%.2000s", u.code, c.want, u.text)
				}
				if grown := u.memory - base.memory; grown > 1<<30 {
					t.Errorf("it took %d MiB more than a policy that does nothing", grown>>20)
				}
				if len(u.text) > 1<<16 || strings.Contains(u.text, "goroutine ") {
					t.Errorf("it said %d bytes:\n%.2000s", len(u.text), u.text)
				}
			})
		}
	}
}

func anyOf(text, words string) bool {
	for w := range strings.SplitSeq(words, "|") {
		if strings.Contains(text, w) {
			return true
		}
	}
	return false
}

func write(t *testing.T, dir, name, text string) string {
	t.Helper()
	path := filepath.Join(dir, strings.NewReplacer(" ", "_", ",", "").Replace(name)+".star")
	if err := os.WriteFile(path, []byte("\"\"\"hostile\"\"\"\n\n"+text+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

type used struct {
	code   int
	text   string
	memory int64 // bytes, at most
}

func usage(t *testing.T, bin, dir string, args ...string) used {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, bin, args...)
	cmd.Dir = dir
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if ctx.Err() != nil {
		t.Fatalf("it did not end:\n%.2000s", out.String())
	}
	return used{cmd.ProcessState.ExitCode(), out.String(), cmd.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10}
}
