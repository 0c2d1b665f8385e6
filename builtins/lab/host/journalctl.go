package host

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// The journal of the host is run/lab/journal.export, in the export format, with the
// number of its last entry in run/lab/journal.seq. Whoever logs in to read it leaves
// an entry, as on a true machine.
//
// Faults of "journalctl": ends N (the last N entries do not come, without a word, as
// behind a damaged object), corrupt (the half of the entries before the last one is
// skipped, it says so and ends with 1), cut N (its output ends after N bytes).

const (
	journalBoot     = "0f3a5c1d2b7e4a9688c1d0e2f3a4b5c6"
	journalSequence = "7c0ffee7c0ffee7c0ffee7c0ffee7c0f"
)

// Log appends an entry to the journal.
func (m *Machine) Log(message string, fields ...string) error {
	dir := filepath.Join(m.Root, "run/lab")
	lock, err := os.OpenFile(filepath.Join(dir, "journal.seq"), os.O_RDWR|os.O_CREATE, 0o644)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	raw, err := io.ReadAll(lock)
	if err != nil {
		return err
	}
	seq, _ := strconv.ParseUint(strings.TrimSpace(string(raw)), 10, 64) // none yet
	seq++
	now := m.Now().UTC().UnixMicro()
	var b bytes.Buffer
	fmt.Fprintf(&b, "__CURSOR=s=%s;i=%x;b=%s;m=%x;t=%x;x=%x\n", journalSequence, seq, journalBoot, seq*1000, now, seq^0x5bd1e995)
	fmt.Fprintf(&b, "__REALTIME_TIMESTAMP=%d\n__MONOTONIC_TIMESTAMP=%d\n__SEQNUM=%d\n__SEQNUM_ID=%s\n_BOOT_ID=%s\n_HOSTNAME=pve1\nPRIORITY=6\n", now, seq*1000, seq, journalSequence, journalBoot)
	for _, f := range fields {
		b.WriteString(f + "\n")
	}
	fmt.Fprintf(&b, "MESSAGE=%s\n\n", message)
	f, err := os.OpenFile(filepath.Join(dir, "journal.export"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	if _, err := f.Write(b.Bytes()); err != nil {
		f.Close()
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	_, err = lock.WriteAt([]byte(fmt.Sprint(seq)), 0)
	return err
}

// journal reads the entries of the journal.
func (m *Machine) journal() ([]string, error) {
	raw, err := os.ReadFile(filepath.Join(m.Root, "run/lab/journal.export"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range strings.SplitAfter(string(raw), "\n\n") {
		if e != "" {
			out = append(out, e)
		}
	}
	return out, nil
}

// Vacuum removes the oldest entries until n are left.
func (m *Machine) Vacuum(n int) error {
	entries, err := m.journal()
	if err != nil {
		return err
	}
	keep := entries[max(0, len(entries)-n):]
	return os.WriteFile(filepath.Join(m.Root, "run/lab/journal.export"), []byte(strings.Join(keep, "")), 0o644)
}

func journalctl(_ context.Context, c *Call) int {
	if err := c.Log("session opened for user root(uid=0) by (uid=0)", "SYSLOG_IDENTIFIER=sshd", "_UID=0"); err != nil {
		return c.Fail(1, "%v", err)
	}
	entries, err := c.journal()
	if err != nil {
		return c.Fail(1, "%v", err)
	}
	if slices.Contains(c.Args, "--header") {
		if len(entries) > 0 {
			n := number(entries[len(entries)-1])
			fmt.Fprintf(c.Stdout, "File path: /var/log/journal/0f3a/system.journal\nSequential number ID: %s\nHead sequential number: %d "+
				"(%x)\nTail sequential number: %d (%x)\n", journalSequence, number(entries[0]), number(entries[0]), n, n)
		}
		return 0
	}
	from := 0
	for _, a := range c.Args[1:] {
		cursor, ok := strings.CutPrefix(a, "--cursor=")
		if !ok {
			continue
		}
		_, id, _ := strings.Cut(cursor, ";i=")
		id, _, _ = strings.Cut(id, ";")
		at, err := strconv.ParseUint(id, 16, 64)
		if err != nil {
			return c.Fail(1, "Failed to seek to cursor: Invalid argument")
		}
		for from < len(entries) && number(entries[from]) < at {
			from++
		}
	}
	entries = entries[from:]
	deeds, err := c.Due("corrupt", "cut", "ends")
	if err != nil {
		return c.Fail(1, "%v", err)
	}
	exit, most := 0, int64(-1)
	for _, d := range deeds {
		switch d.Name {
		case "corrupt":
			fmt.Fprintln(c.Stderr, "Journal file /var/log/journal/0f3a/system@0005.journal is truncated, ignoring file.")
			if len(entries) > 1 {
				half := (len(entries) - 1) / 2
				entries = append(entries[:half:half], entries[len(entries)-1])
			}
			exit = 1
		case "ends":
			n, err := strconv.Atoi(d.Args)
			if err != nil {
				return c.Fail(1, "ends %s: %v", d.Args, err)
			}
			entries = entries[:max(0, len(entries)-n)]
		case "cut":
			if most, err = strconv.ParseInt(d.Args, 10, 64); err != nil {
				most = 0
			}
		}
	}
	text := strings.Join(entries, "")
	if most >= 0 && most < int64(len(text)) {
		text, exit = text[:most], 1
		fmt.Fprintln(c.Stderr, "Failed to write entry: Broken pipe")
	}
	if _, err := io.WriteString(c.Stdout, text); err != nil {
		return 1
	}
	return exit
}

func number(entry string) uint64 {
	_, id, _ := strings.Cut(entry, ";i=")
	id, _, _ = strings.Cut(id, ";")
	n, _ := strconv.ParseUint(id, 16, 64) // the lab wrote it
	return n
}

// statFormat is what stat is asked for.
const statFormat = "%f %d %i %s %Y %y"

// stat knows -L -c statFormat.
func stat(_ context.Context, c *Call) int {
	if len(c.Args) < 6 || c.Args[1] != "-L" || c.Args[2] != "-c" || c.Args[3] != statFormat || c.Args[4] != "--" {
		return c.Fail(1, "the lab's stat knows -L -c '%s' -- FILE...", statFormat)
	}
	exit := 0
	for _, name := range c.Args[5:] {
		info, err := os.Stat(filepath.Join(c.Root, name))
		if err != nil {
			exit = c.Fail(1, "cannot statx '%s': No such file or directory", name)
			continue
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			return c.Fail(1, "no inode on this system")
		}
		fmt.Fprintf(c.Stdout, "%x %d %d %d %d %s\n", st.Mode, st.Dev, st.Ino, info.Size(), info.ModTime().Unix(),
			info.ModTime().UTC().Format("2006-01-02 15:04:05.000000000 -0700"))
	}
	return exit
}

// seedLogs makes log files, one of them rotated and packed, and two ended tasks.
func (m *Machine) seedLogs() error {
	now := m.Now().UTC()
	line := func(i int) string {
		return fmt.Sprintf("192.0.2.%d - - [%s] \"GET /index.html?n=%d HTTP/1.1\" 200 612\n", 10+i%40,
			now.Add(time.Duration(i-900)*time.Minute).Format("02/Jan/2006:15:04:05 -0700"), i)
	}
	var older, old, current strings.Builder
	for i := range 900 {
		switch {
		case i < 300:
			older.WriteString(line(i))
		case i < 600:
			old.WriteString(line(i))
		default:
			current.WriteString(line(i))
		}
	}
	packed, err := gzipped(older.String())
	if err != nil {
		return err
	}
	upid := func(n int, typ, id string) string {
		return fmt.Sprintf("UPID:pve1:%08X:%08X:%08X:%s:%s:root@pam:", 2000+n, 77000+n, now.Add(-2*time.Hour).Unix()+int64(n), typ, id)
	}
	tasks := []string{upid(1, "qmstart", "100"), upid(2, "vzstart", "101")}
	index := ""
	for i, u := range tasks {
		index += fmt.Sprintf("%s %08X OK\n", u, now.Add(-2*time.Hour).Unix()+int64(i)+5)
		if err := m.seedFile("var/log/pve/tasks/"+taskDir(u)+"/"+u, "starting\nTASK OK\n", now.Add(-2*time.Hour)); err != nil {
			return err
		}
	}
	for name, f := range map[string]struct {
		text string
		at   time.Time
	}{
		"var/log/nginx/access.log.2.gz": {packed, now.Add(-48 * time.Hour)},
		"var/log/nginx/access.log.1":    {old.String(), now.Add(-24 * time.Hour)},
		"var/log/nginx/access.log":      {current.String(), now}, "var/log/nginx/error.log": {"", now}, "var/log/pve/tasks/index": {index, now},
	} {
		if err := m.seedFile(name, f.text, f.at); err != nil {
			return err
		}
	}
	return m.Log("Started pveproxy.service - PVE API Proxy Server.", "SYSLOG_IDENTIFIER=systemd")
}

func (m *Machine) seedFile(name, text string, at time.Time) error {
	p := filepath.Join(m.Root, name)
	if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
		return err
	}
	if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
		return err
	}
	return os.Chtimes(p, at, at)
}

// taskDir is the folder of a task's log: the last digit of its start.
func taskDir(upid string) string {
	f := strings.Split(upid, ":")
	return f[4][len(f[4])-1:]
}

func gzipped(text string) (string, error) {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	if _, err := z.Write([]byte(text)); err != nil {
		return "", err
	}
	err := z.Close()
	return b.String(), err
}
