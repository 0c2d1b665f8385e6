package tests

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/neosofia/runner/builtins/site"

	"github.com/neosofia/runner/builtins"
	"github.com/neosofia/runner/tests/memdir"
	"github.com/rogpeppe/go-internal/testscript"
)

// commands are those that stories have beyond testscript's:
//
//	code N PROGRAM ARG...         run, and want exit code N
//	count N PATTERN...            want N files that match the patterns
//	remember PATTERN...           how many files match the patterns now, for grown
//	grown N PATTERN...            want N more than at the last remember
//	absent TEXT PATH...           no file below the paths holds TEXT
//	holds FILE [KEY=REGEXP...]    FILE (or stdout) is one JSON document; a.0.b=… looks into it
//	lines FILE                    every line of FILE (or stderr) is a JSON document
//	save FILE REGEXP VARIABLE     the first group of the match becomes a variable
//	every-builtin                 runner builtins NAME explains each one
//	flip FILE OFFSET              change one bit; a negative offset counts from the end
//	sql LEDGER STATEMENT...       change the database behind the ledger's back
//	start NAME REGEXP PROGRAM...  run beside the story, and go on when a line of its output matches
//	signal NAME SIGNAL            KILL, INT, STOP or CONT
//	ended NAME CODE [REGEXP]      wait for it: exit code (-1: killed), output
var commands = map[string]func(ts *testscript.TestScript, neg bool, args []string){
	"code": cmdCode, "count": cmdCount, "remember": cmdRemember, "grown": cmdGrown, "absent": cmdAbsent, "holds": cmdHolds, "lines": cmdLines,
	"save":          cmdSave,
	"every-builtin": cmdEveryBuiltin, "flip": cmdFlip, "sql": cmdSQL, "start": cmdStart, "signal": cmdSignal, "ended": cmdEnded,
}

// want stops a story whose command was used wrongly.
func want(ts *testscript.TestScript, neg, ok bool, use string) {
	if neg || !ok {
		ts.Fatalf("usage: %s", use)
	}
}

func number(ts *testscript.TestScript, text string) int {
	n, err := strconv.Atoi(text)
	ts.Check(err)
	return n
}

func cmdCode(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, len(args) >= 2, "code N PROGRAM ARG...")
	got := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		var exit *exec.ExitError
		if !errors.As(err, &exit) {
			ts.Fatalf("%v", err)
		}
		got = exit.ExitCode()
	}
	if w := number(ts, args[0]); got != w {
		ts.Fatalf("exit code: got %d, want %d", got, w)
	}
}

func matches(ts *testscript.TestScript, patterns []string) (found []string) {
	for _, p := range patterns {
		list, err := filepath.Glob(ts.MkAbs(p))
		ts.Check(err)
		found = append(found, list...)
	}
	return found
}

func cmdRemember(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, len(args) >= 1, "remember PATTERN...")
	ts.Setenv("REMEMBERED", strconv.Itoa(len(matches(ts, args))))
}

func cmdGrown(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, len(args) >= 2, "grown N PATTERN...")
	before := number(ts, ts.Getenv("REMEMBERED"))
	if got, w := len(matches(ts, args[1:]))-before, number(ts, args[0]); got != w {
		ts.Fatalf("got %d files more than %d, want %d more", got, before, w)
	}
}

func cmdCount(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, len(args) >= 2, "count N PATTERN...")
	found := matches(ts, args[1:])
	if w := number(ts, args[0]); len(found) != w {
		ts.Fatalf("files: got %d, want %d\n%s", len(found), w, strings.Join(found, "\n"))
	}
}

func cmdAbsent(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, len(args) >= 2 && len(args[0]) >= 8, "absent TEXT PATH..., TEXT of 8 bytes or more")
	files := 0
	for _, dir := range args[1:] {
		ts.Check(filepath.WalkDir(ts.MkAbs(dir), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			files++
			raw, err := os.ReadFile(path)
			if err == nil && strings.Contains(string(raw), args[0]) {
				err = fmt.Errorf("%s holds %q", path, args[0])
			}
			return err
		}))
	}
	if files == 0 {
		ts.Fatalf("no file was looked at")
	}
}

func cmdHolds(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, len(args) >= 1, "holds FILE [KEY=REGEXP...]")
	var doc any
	d := json.NewDecoder(strings.NewReader(ts.ReadFile(args[0])))
	d.UseNumber()
	ts.Check(d.Decode(&doc))
	if d.More() {
		ts.Fatalf("%s holds more than one document", args[0])
	}
	for _, kv := range args[1:] {
		key, pattern, ok := strings.Cut(kv, "=")
		if !ok {
			ts.Fatalf("%q: want KEY=REGEXP", kv)
		}
		v, err := lookUp(doc, strings.Split(key, "."))
		if err != nil {
			ts.Fatalf("%s: %v", key, err)
		}
		text, isText := v.(string)
		if !isText {
			raw, err := json.Marshal(v)
			ts.Check(err)
			text = string(raw)
		}
		if !regexp.MustCompile("^(?:" + pattern + ")$").MatchString(text) {
			ts.Fatalf("%s: got %s, want %s", key, text, pattern)
		}
	}
}

func lookUp(v any, path []string) (any, error) {
	for _, p := range path {
		switch c := v.(type) {
		case map[string]any:
			inner, ok := c[p]
			if !ok {
				return nil, fmt.Errorf("there is no %q", p)
			}
			v = inner
		case []any:
			i, err := strconv.Atoi(p)
			if err != nil || i < 0 || i >= len(c) {
				return nil, fmt.Errorf("a list of %d has no %q", len(c), p)
			}
			v = c[i]
		default:
			return nil, fmt.Errorf("%v has no %q", c, p)
		}
	}
	return v, nil
}

func cmdLines(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, len(args) == 1, "lines FILE")
	text := strings.TrimSuffix(ts.ReadFile(args[0]), "\n")
	for i, line := range strings.Split(text, "\n") {
		if !json.Valid([]byte(line)) {
			ts.Fatalf("line %d is no JSON: %s", i+1, line)
		}
	}
}

func cmdSave(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, len(args) == 3, "save FILE REGEXP VARIABLE")
	m := regexp.MustCompile("(?m)" + args[1]).FindStringSubmatch(ts.ReadFile(args[0]))
	if len(m) != 2 {
		ts.Fatalf("%s does not match %s with one group", args[0], args[1])
	}
	ts.Setenv(args[2], m[1])
}

func cmdFlip(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, len(args) == 2, "flip FILE OFFSET")
	list, err := filepath.Glob(ts.MkAbs(args[0]))
	ts.Check(err)
	if len(list) != 1 {
		ts.Fatalf("files that match %s: got %d, want 1", args[0], len(list))
	}
	raw, err := os.ReadFile(list[0])
	ts.Check(err)
	at := number(ts, args[1])
	if at < 0 {
		at += len(raw)
	}
	raw[at] ^= 4
	ts.Check(os.WriteFile(list[0], raw, 0o600))
}

func cmdEveryBuiltin(ts *testscript.TestScript, neg bool, args []string) {
	want(ts, neg, len(args) == 0, "every-builtin")
	var names []string
	for _, d := range builtins.All() {
		names = append(names, d.Info().Name)
	}
	for _, c := range site.Docs() {
		names = append(names, c.Name)
	}
	for _, name := range names {
		ts.Check(ts.Exec("runner", "builtins", name))
		if text := ts.ReadFile("stdout"); !strings.HasPrefix(text, name+"(") || !strings.Contains(text, "\n"+name+": ") {
			ts.Fatalf("runner builtins %s does not begin with its signature and its doc:\n%s", name, text)
		}
	}
}

func condition(name string) (bool, error) {
	switch name {
	case "root":
		return os.Getuid() == 0, nil
	case "other": // is there a file system beside that of the story?
		return memdir.Other() != "", nil
	case "mount": // may a process have mounts of its own?
		return exec.Command("unshare", "-m", "mount", "-t", "tmpfs", "none", "/mnt").Run() == nil, nil
	}
	return false, fmt.Errorf("unknown condition %q", name)
}
