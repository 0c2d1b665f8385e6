package real

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const (
	importer   = "/lib/systemd/systemd-journal-remote"
	machineID  = "0f1e2d3c4b5a69788796a5b4c3d2e1f0"
	runJournal = `set -eu
mount -t tmpfs tmpfs /run
mkdir -p /run/log/journal/` + machineID + `
echo ` + machineID + ` > /run/machine-id
touch /etc/machine-id
mount --bind /run/machine-id /etc/machine-id
cp "$JOURNAL" /run/log/journal/` + machineID + `/system.journal
"$@"
`
)

// importEntries makes a journal of numbered entries, some of them with odd fields, with
// systemd's own program.
func importEntries(t *testing.T, path string, first, last int) {
	t.Helper()
	var b bytes.Buffer
	raw := func(name string, value []byte) {
		b.WriteString(name + "\n")
		b.Write(binary.LittleEndian.AppendUint64(nil, uint64(len(value))))
		b.Write(append(value, '\n'))
	}
	for n := first; n <= last; n++ {
		at := 1_795_838_000_000_000 + n*1_000_000
		fmt.Fprintf(&b, "__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n_BOOT_ID=5a1d7c0e9b8f4a63b2c1d0e9f8a7b6c5\n_MACHINE_ID=%s\n_HOSTNAME=box\nMESSAGE=entry %d of a test\n", at, 5_000_000+n*1_000_000, machineID, n)
		switch n % 6 {
		case 1:
			raw("COREDUMP_STATUS", []byte("Name:\tx\n\n__CURSOR=none\nMESSAGE=none\n\n"))
		case 2:
			raw("BINARY", bytes.Repeat([]byte{0, 1, 2, 10, 255}, 2000))
		case 3:
			b.WriteString("MESSAGE=a second one\nEMPTY=\n")
		case 4:
			b.WriteString("LONG=" + strings.Repeat("z", 200_000) + "\n")
		}
		b.WriteByte('\n')
	}
	export := path + ".export"
	if err := os.WriteFile(export, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	tool(t, importer, "-o", path, export)
}

// behind makes the entries of a journal those of another one, so many numbers on: what
// is left of it when all files before are gone.
func behind(t *testing.T, path, of string, add uint64) {
	t.Helper()
	first, err := os.ReadFile(of)
	if err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	plus := func(at uint64) {
		binary.LittleEndian.PutUint64(b[at:], binary.LittleEndian.Uint64(b[at:])+add)
	}
	copy(b[72:88], first[72:88]) // the sequence
	end := binary.LittleEndian.Uint64(b[136:])
	for at := binary.LittleEndian.Uint64(b[88:]); at <= end && at+24 <= uint64(len(b)); {
		size := binary.LittleEndian.Uint64(b[at+8:])
		if size == 0 {
			break
		}
		if b[at] == 3 { // an entry
			plus(at + 16)
		}
		at += (size + 7) &^ 7
	}
	plus(160) // the newest, and the oldest
	plus(168)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
}

// ships runs the policy where a file is the journal of the host.
func (d *desk) ships(journal string) (int, string) {
	d.t.Helper()
	script := d.path("journal.sh")
	if err := os.WriteFile(script, []byte(runJournal), 0o700); err != nil {
		d.t.Fatal(err)
	}
	c := exec.CommandContext(d.t.Context(), "unshare", append([]string{"-m", "bash", script}, d.args("exec", d.path("policy.star"))...)...)
	c.Env = append(os.Environ(), "JOURNAL="+journal)
	out, err := c.CombinedOutput()
	if c.ProcessState == nil {
		d.t.Fatal(err)
	}
	return c.ProcessState.ExitCode(), string(out)
}

// cameBack are the messages of the journal that is recovered.
func (d *desk) cameBack() string {
	d.t.Helper()
	d.runner(0, "recover", "--from", d.path("media"), "--to", d.path("back"))
	found, err := filepath.Glob(d.path("back/*/restored.journal"))
	if err != nil || len(found) != 1 {
		d.t.Fatalf("got %v, %v", found, err)
	}
	return tool(d.t, "journalctl", "-q", "--file", found[0], "-o", "export", "-a")
}

func newJournalDesk(t *testing.T) *desk {
	d := newDesk(t, logsPolicy, strings.Replace(logsSite, "accept_gap", "#", 1)+`logs(name = "here", host = "here", journal = True)`,
		"unshare", "journalctl")
	if _, err := os.Stat(importer); err != nil {
		t.Fatal("systemd-journal-remote is missing: apt-get install systemd-journal-remote")
	}
	return d
}

func TestTheFirstEntryBehindAHoleIsShipped(t *testing.T) {
	d := newJournalDesk(t)
	a, b := d.path("a.journal"), d.path("b.journal")
	importEntries(t, a, 1, 40)
	importEntries(t, b, 61, 90)
	behind(t, b, a, 60)
	if code, out := d.ships(a); code != 0 {
		t.Fatalf("exit %d\n%s", code, out)
	}
	code, out := d.ships(b)
	if code != 3 || !strings.Contains(out, "journal entries 41 to 60") {
		t.Errorf("exit %d: the hole is not told\n%s", code, out)
	}
	text := d.cameBack()
	for n := 1; n <= 90; n++ {
		want := 1
		if n > 40 && n < 61 {
			want = 0
		}
		if got := strings.Count(text, fmt.Sprintf("MESSAGE=entry %d of a test\n", n)); got != want {
			t.Errorf("entry %d is there %d times, want %d", n, got, want)
		}
	}
}

func TestADamagedPieceOfTheJournalIsToldAtOnce(t *testing.T) {
	d := newJournalDesk(t)
	a := d.path("a.journal")
	importEntries(t, a, 1, 40)
	raw, err := os.ReadFile(a)
	if err != nil {
		t.Fatal(err)
	}
	at := bytes.Index(raw, []byte("MESSAGE=entry 33"))
	if at < 0 {
		t.Fatal("the entry is not in the file")
	}
	clear(raw[max(at-382, 0):min(at+382, len(raw))])
	if err := os.WriteFile(a, raw, 0o600); err != nil {
		t.Fatal(err)
	}
	code, out := d.ships(a)
	if code != 3 || !strings.Contains(out, "damaged file") {
		t.Errorf("exit %d\n%s", code, out)
	}
	text := d.cameBack()
	for n := 1; n <= 20; n++ { // what lies far from it is not touched
		if strings.Count(text, fmt.Sprintf("MESSAGE=entry %d of a test\n", n)) != 1 {
			t.Errorf("entry %d did not come", n)
		}
	}
}
