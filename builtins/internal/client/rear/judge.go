package rear

import (
	"fmt"
	"strings"

	"github.com/neosofia/runner/runtime/failure"
)

// Verdict is what a run of ReaR that made something is worth.
type Verdict struct {
	Warnings []string // what ReaR itself says may not recover
	Asked    []string // questions that nobody answered: ReaR took its default
}

// marks of ReaR 2.7 in its log and output.
const (
	finished = "Finished running mkbackup workflow"
	maxSaid  = 400
	maxWarn  = 20
)

var warnings = []string{
	"needs additional libraries", "may cause 'rear recover' failure", "=> not found", "Broken symlink", "may not work", "is not supported",
	"There may be",
	"Cannot get attributes", "has a read-only", "WARNING", "Warning:", "Failed to", "could not be determined",
}

// calm are lines with such words that mean no harm: links of the host itself that
// lead nowhere, and libraries that only systemd's own programs want.
var calm = []string{"libsystemd-core", "libsystemd-shared", "Broken symlink", "needs additional libraries, check"}

// Judge reads how `rear mkbackup` ended: its exit status, what it printed, its log.
// An error means that there is no image; a verdict, that one was made.
func Judge(exit int, signal string, printed, log string) (Verdict, error) {
	doing := "make the image with rear mkbackup"
	all := printed + "\n" + log
	said := saidOf(all)
	fail := func(code failure.Code, text, hint string, temporary bool) (Verdict, error) {
		return Verdict{}, &failure.Error{Code: code, Doing: doing, Said: text, Hint: hint, Temporary: temporary}
	}
	asked := questions(all)
	if strings.HasPrefix(strings.ToUpper(signal), "TERM") && strings.Contains(all, "ERROR:") {
		exit, signal = 143, "" // on an error of its own ReaR ends itself so, which a shell between shows as 143
	}
	switch {
	case signal != "" || exit == 137:
		return fail(CodeKilled, "it was killed ("+orElse(signal, "status 137")+")",
			"dmesg on the host says whether memory ran out; what it left in /var/tmp/rear.* can go", true)
	case exit == 127:
		return fail(CodeMissing, "there is no program rear", "install it on the host: apt install rear", false)
	case strings.Contains(all, "is already running with PID"):
		return fail(CodeBusy, said, "wait for the other one, or see who started it: ps -fC rear", true)
	case strings.Contains(all, "No space left on device"), strings.Contains(all, "not enough space"),
		strings.Contains(all, "Disk quota exceeded"):
		return fail(CodeSpace, "there is no space left: "+said, "ReaR needs room for the image in the folder of rear_host and as much again "+
			"in /var/tmp", false)
	case exit != 0 && len(asked) > 0:
		return fail(CodeAsked, "it asks, and nobody answers: "+asked[0], "run it once by hand on the host to see the question, and answer it "+
			"in settings", false)
	case exit != 0:
		return fail(CodeFailed, fmt.Sprintf("it ended with %d: %s", exit, said), "the whole log lies on the host: /var/log/rear", false)
	case !strings.Contains(log, finished):
		return fail(CodeKilled, "it ended with 0, but its log has no end", "was the host shut down, or its disk full? the log lies in "+
			"/var/log/rear", true)
	}
	return Verdict{Warnings: warned(all), Asked: asked}, nil
}

func orElse(s, other string) string {
	if s == "" {
		return other
	}
	return s
}

// saidOf is the first line in which ReaR speaks of an error.
func saidOf(text string) string {
	last := ""
	for line := range strings.Lines(text) {
		line = plain(line)
		if i := strings.Index(line, "ERROR:"); i >= 0 {
			return strings.TrimSpace(line[i+len("ERROR:"):])
		}
		if line != "" {
			last = line
		}
	}
	return orElse(last, "it said nothing")
}

// plain is a line without its time and its control characters.
func plain(line string) string {
	line = strings.TrimSpace(line)
	if len(line) > 30 && line[4] == '-' && line[10] == ' ' && line[19] == '.' {
		line = strings.TrimSpace(line[29:])
	}
	line = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return -1
		}
		return r
	}, strings.ToValidUTF8(line, "?"))
	if len(line) > maxSaid {
		line = strings.ToValidUTF8(line[:maxSaid], "") + "…"
	}
	return line
}

// questions finds what ReaR asked: it prints the question, and on a line of its
// own the default and how long it waits.
func questions(text string) (out []string) {
	before := ""
	for line := range strings.Lines(text) {
		line = plain(line)
		if strings.Contains(line, "(default '") && strings.Contains(line, "timeout ") {
			if strings.HasPrefix(line, "(") {
				line = strings.TrimSpace(before + " " + line)
			}
			if !has(out, line) && len(out) < maxWarn {
				out = append(out, line)
			}
		}
		before = line
	}
	return out
}

func warned(text string) (out []string) {
	for line := range strings.Lines(text) {
		line = plain(line)
		if strings.HasPrefix(line, "+") || !contains(line, warnings) || contains(line, calm) || has(out, line) || len(out) == maxWarn {
			continue
		}
		out = append(out, line)
	}
	return out
}

func contains(line string, words []string) bool {
	for _, w := range words {
		if strings.Contains(line, w) {
			return true
		}
	}
	return false
}

func has(list []string, s string) bool {
	for _, l := range list {
		if l == s {
			return true
		}
	}
	return false
}
