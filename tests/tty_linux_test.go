package tests

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/creack/pty"
	"github.com/neosofia/runner/tests/internal/program"
)

// screen is a shell in a pseudo-terminal, and everything that it showed.
type screen struct {
	t    *testing.T
	tty  *os.File
	mu   sync.Mutex
	seen bytes.Buffer
	more chan struct{}
}

func newScreen(t *testing.T, dir string, env ...string) *screen {
	t.Helper()
	cmd := exec.Command("/bin/sh", "-i")
	cmd.Dir, cmd.Env = dir, append(os.Environ(), append(env, "PS1=$ ", "ENV=", "TERM=xterm")...)
	tty, err := pty.Start(cmd)
	if err != nil {
		t.Fatal(err)
	}
	s := &screen{t: t, tty: tty, more: make(chan struct{}, 1)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		buf := make([]byte, 4096)
		for {
			n, err := tty.Read(buf)
			s.mu.Lock()
			s.seen.Write(buf[:n])
			s.mu.Unlock()
			select {
			case s.more <- struct{}{}:
			default:
			}
			if err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		cmd.Process.Kill()
		cmd.Wait()
		tty.Close()
		<-ended
	})
	return s
}

func (s *screen) text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.seen.String()
}

func (s *screen) write(text string) {
	s.t.Helper()
	if _, err := io.WriteString(s.tty, text); err != nil {
		s.t.Fatal(err)
	}
}

// wait waits until the screen shows a pattern n times.
func (s *screen) wait(pattern string, n int) {
	s.t.Helper()
	re := regexp.MustCompile(pattern)
	late := time.After(2 * time.Minute)
	for len(re.FindAllString(s.text(), -1)) < n {
		select {
		case <-s.more:
		case <-late:
			s.t.Fatalf("the screen does not show %q %d times:\n%s", pattern, n, s.text())
		}
	}
}

// From the sheet to the restored file, with nothing but the sheet: what is typed or
// pasted opens the copies, and reaches neither the screen nor the shell.
func TestTheSheetAloneBringsThingsBack(t *testing.T) {
	dir := t.TempDir()
	bin, err := program.Build(t.TempDir(), "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	policies, err := filepath.Abs("../policies")
	if err != nil {
		t.Fatal(err)
	}
	run := func(args ...string) string {
		t.Helper()
		cmd := exec.Command(bin, args...)
		cmd.Dir, cmd.Env = dir, append(os.Environ(), "HOME="+dir, "STATE_DIRECTORY="+dir)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
		return string(out)
	}
	run("recovery-key", "new", "--out", "sheet.txt")
	raw, err := os.ReadFile(filepath.Join(dir, "sheet.txt"))
	if err != nil {
		t.Fatal(err)
	}
	sheet := string(raw)
	recipient := regexp.MustCompile(`age1pq1[0-9a-z]+`).FindString(sheet)
	site := regexp.MustCompile(`(?m)^RECOVERY = .*$`).ReplaceAllString(run("lab", "site"), fmt.Sprintf("RECOVERY = %q", recipient))
	if err := os.WriteFile(filepath.Join(dir, "site.star"), []byte(site), 0o600); err != nil {
		t.Fatal(err)
	}
	run("exec", "--lab", "--site", "site.star", "--state", "state", filepath.Join(policies, "nightly.star"))

	var typed []string
	for _, l := range strings.Split(sheet, "\n") {
		if strings.Contains(l, "  / ") {
			typed = append(typed, l)
		}
	}
	slip := []byte(typed[1])
	slip[len(slip)-1] ^= 1
	pasted := strings.ReplaceAll(sheet, "\n", "\r")
	for name, c := range map[string]struct{ input, say string }{
		"typed, with a slip": {strings.Join([]string{typed[0], string(slip), typed[1], typed[2], typed[3]}, "\r") + "\r",
			"line 2 does not agree with its checksum"},
		"pasted whole":                 {pasted, ""},
		"pasted whole, and marked":     {"\x1b[200~" + pasted + "\x1b[201~", ""},
		"pasted twice, in small steps": {pasted + pasted, ""},
	} {
		t.Run(name, func(t *testing.T) {
			out := t.TempDir()
			s := newScreen(t, dir)
			s.write(fmt.Sprintf("%s recover --lab --state state --from /media/offline-a --item keyring --to %s; echo rc=$((1+$?))\n", bin, out))
			s.wait(`line 1: `, 1)
			if strings.Contains(name, "small steps") {
				for part := c.input; part != ""; {
					n := min(100, len(part))
					s.write(part[:n])
					part = part[n:]
				}
			} else {
				s.write(c.input)
			}
			s.wait(`rc=[0-9]`, 1)
			s.write("echo shell is $((40+2))\n")
			s.wait(`shell is 42`, 1)
			shown := s.text()
			if !strings.Contains(shown, "rc=1\r") || !strings.Contains(shown, "8 secrets of set") || !strings.Contains(shown, c.say) {
				t.Errorf("it did not come back:\n%s", shown)
			}
			if strings.Contains(shown, "not found") || strings.Contains(shown, "RECOVERY KEY of") || strings.Contains(shown, "█") {
				t.Errorf("what was typed reached the screen or the shell:\n%s", shown)
			}
			key := regexp.MustCompile(`AGE-SECRET-KEY-[0-9A-Z-]+`).FindString(sheet)
			for i := 20; i+8 <= len(key); i++ {
				if strings.Contains(shown, key[i:i+8]) {
					t.Fatalf("the key reached the screen")
				}
			}
			for _, l := range typed {
				if strings.Contains(shown, strings.TrimSpace(l)) {
					t.Fatalf("a line of the sheet reached the screen")
				}
			}
			for i := range typed { // the groups in the middle of each line
				if f := strings.Fields(typed[i]); len(f) > 5 && strings.Contains(shown, strings.Join(f[2:4], " ")) {
					t.Fatalf("groups of the sheet reached the screen")
				}
			}
		})
	}

	// Not as an answer to a question: as a file, with every verb that takes a key.
	for _, form := range [][]string{{"sheet.txt"}, {"lines.txt"}} {
		if form[0] == "lines.txt" {
			if err := os.WriteFile(filepath.Join(dir, "lines.txt"), []byte("\ufeff"+strings.Join(typed, "\r\n")), 0o600); err != nil {
				t.Fatal(err)
			}
		}
		if out := run("recover", "--lab", "--state", "state", "--from", "/media/offline-a", "--verify", "--identity",
			form[0]); strings.Contains(out, "FAIL") || !strings.Contains(out, "opened") {
			t.Errorf("%s: recover --verify: %s", form[0], out)
		}
		if out := run("recovery-key", "test", "--lab", "--site", "site.star", "--state", "state", "--identity", form[0]); strings.Count(out,
			"ok ") != 3 {
			t.Errorf("%s: recovery-key test: %s", form[0], out)
		}
	}

	// Who answers nothing is reported what is missing, and Ctrl-C ends the question.
	s := newScreen(t, dir)
	s.write(fmt.Sprintf("%s recover --lab --state state --from /media/offline-a --item keyring --to none; echo rc=$((1+$?))\n", bin))
	s.wait(`line 1: `, 1)
	s.write("\r")
	s.wait(`rc=2`, 1)
	s.wait(`give the recovery identity with --identity|--identity`, 1)
	s.write(fmt.Sprintf("%s recover --lab --state state --from /media/offline-a --item keyring --to none; echo rc=$((1+$?))\n", bin))
	s.wait(`line 1: `, 2)
	s.write("\x03")
	s.wait(`rc=131`, 1)
	// Who ends it from outside, impatiently, leaves a terminal that can be used.
	s.write(fmt.Sprintf("(echo pid=$((0+$(exec sh -c 'echo $PPID'))); exec %s recover --lab --state state --from /media/offline-a --item "+
		"keyring --to none); stty -a; echo end=$((1+1))\n", bin))
	s.wait(`line 1: `, 3)
	found := regexp.MustCompile(`pid=([0-9]+)`).FindStringSubmatch(s.text())
	pid, err := strconv.Atoi(found[1])
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"stopping; what has ended is recorded", `end=2`} {
		if err := syscall.Kill(pid, syscall.SIGTERM); err != nil {
			t.Fatal(err)
		}
		s.wait(text, 1)
	}
	after := s.text()[strings.LastIndex(s.text(), "stopping;"):]
	for _, mode := range []string{" echo ", " icanon ", " icrnl "} {
		if !strings.Contains(strings.ReplaceAll(after, "\r\n", " "), mode) {
			t.Errorf("the terminal was not given back: no%sin\n%s", mode, after)
		}
	}
}
