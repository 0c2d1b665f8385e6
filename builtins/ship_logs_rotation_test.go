package builtins

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFilesAreShippedOnceAcrossRotation(t *testing.T) {
	t.Parallel()
	for name, rotate := range map[string]func(*bench){
		"renamed":                         func(b *bench) { b.rotate(false, false) },
		"copied and truncated":            func(b *bench) { b.rotate(true, false) },
		"renamed and packed":              func(b *bench) { b.rotate(false, true) },
		"copied, truncated and packed":    func(b *bench) { b.rotate(true, true) },
		"renamed twice":                   func(b *bench) { b.rotate(false, false); b.write(7); b.rotate(false, false) },
		"renamed, the new one is written": func(b *bench) { b.rotate(false, false); b.write(100) },
		"not at all":                      func(*bench) {},
		"a copy is being packed": func(b *bench) {
			b.rotate(false, false)
			log := filepath.Join(b.lab.Node().Root, web)
			raw, err := os.ReadFile(log + ".1")
			b.must(err)
			b.must(os.WriteFile(log+".1.gz", raw[:len(raw)/2], 0o644)) // no gzip yet, nor ever
		},
		"the new file is not made yet": func(b *bench) {
			b.rotate(false, false)
			log := filepath.Join(b.lab.Node().Root, web)
			b.must(os.Remove(log))
			b.good(shipLoose("pve1-web"))
			b.must(os.WriteFile(log, nil, 0o644))
		},
		"truncated to the same first lines": func(b *bench) {
			b.rotate(true, false)
			b.write(0)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := looseBench(t)
			for range 3 {
				b.write(40)
				b.good(shipLoose("pve1-web"))
				b.write(5)
				rotate(b)
				b.write(3)
			}
			b.good(shipLoose("pve1-web"))
			b.wantLines()
			if a := b.artifact("pve1-web"); len(a.Gaps) > 0 {
				t.Errorf("got gaps %+v", a.Gaps)
			}
		})
	}
}

func TestTheFirstBatchHoldsRotatedFilesToo(t *testing.T) {
	t.Parallel()
	b := looseBench(t)
	b.good(shipLoose("pve1-web"))
	text := strings.Join(b.shipped("pve1-web"), "")
	for n := range 900 {
		if c := strings.Count(text, fmt.Sprintf("?n=%d HTTP", n)); c != 1 {
			t.Fatalf("line %d is there %d times", n, c)
		}
	}
	b.good(shipLoose("pve1-web"))
	if got := b.shipped("pve1-web"); len(got) != 2 || got[1] != "" {
		t.Errorf("nothing new: got batches of %d and %d bytes", len(got[0]), len(got[1]))
	}
}

// A log that was empty, or began with the same words, is not taken for the one that
// it was copied to.
func TestCopyTruncateOfShortLogsLosesNothing(t *testing.T) {
	t.Parallel()
	for name, header := range map[string]string{"empty": "", "the same header": "# log of the service, version 1\n"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := looseBench(t, "+", `logs(name = "short", host = "pve1", files = ["/var/log/short.log"])`)
			log := filepath.Join(b.lab.Node().Root, "var/log/short.log")
			b.must(os.WriteFile(log, []byte(header), 0o644))
			b.good(shipLoose("short"))
			for i := range 3 {
				text := fmt.Sprintf("%sline %d\n", header, i)
				b.must(os.WriteFile(log, []byte(text), 0o644))
				b.must(os.WriteFile(fmt.Sprintf("%s.%d", log, 1), []byte(text), 0o644)) // copied …
				b.must(os.WriteFile(log, []byte(header), 0o644))                        // … and truncated
				b.good(shipLoose("short"))
				b.must(os.Rename(log+".1", fmt.Sprintf("%s.%d", log, 9-i)))
			}
			text := strings.Join(b.shipped("short"), "")
			for i := range 3 {
				if n := strings.Count(text, fmt.Sprintf("line %d\n", i)); n != 1 {
					t.Errorf("line %d is there %d times in %q", i, n, text)
				}
			}
		})
	}
}

func TestALogThatIsAwayForAWhileIsNotShippedTwice(t *testing.T) {
	t.Parallel()
	b := looseBench(t)
	b.write(40)
	b.good(shipLoose("pve1-web"))
	dir := filepath.Join(b.lab.Node().Root, "var/log/nginx")
	b.must(os.Rename(dir, dir+".away"))
	for range 2 {
		out := b.run(`return [a.id for a in ship_logs(source = "pve1-web", asset = "logs")]`)
		if out.Err != nil {
			t.Fatal(out.Err)
		}
	}
	b.must(os.Rename(dir+".away", dir))
	b.write(5)
	b.run(shipLoose("pve1-web"))
	b.wantLines()
}

func TestALogOfNoBytesIsFine(t *testing.T) {
	t.Parallel()
	b := looseBench(t, "+", `logs(name = "errors", host = "pve1", files = ["/var/log/nginx/error.log"])`)
	for range 2 {
		b.good(shipLoose("errors"))
	}
	b.node("var/log/nginx/error.log", "", "the first error\n")
	b.good(shipLoose("errors"))
	if got := strings.Join(b.shipped("errors"), "|"); got != "||the first error\n" {
		t.Errorf("got %q", got)
	}
}
