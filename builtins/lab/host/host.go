// Package host is what runs on the lab's SSH hosts: stand-ins for the programs
// that runner calls on a machine, written in Go, working on the host's folder. A
// program is one file here and one line in Commands; what is not in the list is not
// installed ("command not found", 127).
//
// A line is parsed as a shell would parse one that quotes its words; anything else
// that a shell could do (pipes, variables, globs) is refused, because runner must
// not rely on it.
//
// Faults, On = "run HOST PROGRAM":
//
//	exit N [TEXT]   nothing is done; TEXT goes to standard error
//	missing         the program is not installed
//	killed          it ends by SIGKILL before it did anything
//	hang            it does nothing until the client leaves
//	slow D          it begins after D
//
// and those that each program's file documents.
package host

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/lab/fault"
)

// Machine is one host of the lab.
type Machine struct {
	Name   string // as faults name it: "pve1.lab"
	Root   string // folder that is "/"
	Faults *fault.Set
	Now    func() time.Time
	Sleep  func(ctx context.Context, d time.Duration) error
}

// Call is one program under way.
type Call struct {
	*Machine
	Args           []string // with the program's name
	Stdin          io.Reader
	Stdout, Stderr io.Writer
}

// Command plays a program to its end and returns its exit status.
type Command func(ctx context.Context, c *Call) int

// Signaled, as an exit status, stands for an end by SIGKILL.
const Signaled = -9

// Commands are the programs that are installed.
func Commands() map[string]Command {
	return map[string]Command{
		"journalctl": journalctl, "stat": stat,
		"nft": nft, "ip": ip, "unshare": unshare, "sysctl": sysctl, "iptables-save": iptablesSave, "ip6tables-save": iptablesSave,
		"iptables-restore": iptablesRestore, "ip6tables-restore": iptablesRestore,
		"rear": rear, "lsblk": lsblk, "uname": uname, "mount": mount, "umount": umount,
		"rm": rm, "ln": ln, "cp": cp, "sync": syncAll, "sh": sh, "cryptsetup": cryptsetup,
		"tar":   tarOf,
		"date":  date,
		"true":  func(context.Context, *Call) int { return 0 },
		"false": func(context.Context, *Call) int { return 1 },
	}
}

// Create makes the host's files, besides those of its Proxmox VE.
func (m *Machine) Create() error {
	for _, files := range []map[string]string{seedNetwork(), seedRear()} {
		for name, text := range files {
			path := filepath.Join(m.Root, name)
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				return err
			}
			if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
				return err
			}
		}
	}
	return m.seedLogs()
}

// Fail writes a line to standard error, as a program that gives up does.
func (c *Call) Fail(exit int, format string, args ...any) int {
	fmt.Fprintf(c.Stderr, c.Args[0]+": "+format+"\n", args...)
	return exit
}

// Due asks for faults of this program.
func (c *Call) Due(names ...string) ([]fault.Deed, error) {
	return c.Faults.Due("run "+c.Name+" "+c.Args[0], names...)
}

// Exec runs a line of the account's shell.
func (m *Machine) Exec(ctx context.Context, line string, stdin io.Reader, stdout, stderr io.Writer) int {
	words, err := split(line)
	if err != nil {
		fmt.Fprintf(stderr, "sh: %v\n", err)
		return 2
	}
	if len(words) > 0 && words[0] == "env" {
		words = words[1:]
		for len(words) > 0 && strings.Contains(words[0], "=") {
			words = words[1:]
		}
	}
	if len(words) == 0 {
		return 0
	}
	c := &Call{m, words, stdin, stdout, stderr}
	name := words[0][strings.LastIndex(words[0], "/")+1:]
	c.Args[0] = name
	run, known := Commands()[name]
	if !known {
		return c.notFound()
	}
	deeds, err := c.Due("exit", "missing", "killed", "hang", "slow")
	if err != nil {
		return c.Fail(2, "%v", err)
	}
	for _, d := range deeds {
		switch d.Name {
		case "missing":
			return c.notFound()
		case "killed":
			return Signaled
		case "hang":
			<-ctx.Done()
			return Signaled
		case "slow":
			wait, err := d.Duration(time.Second)
			if err == nil {
				err = m.Sleep(ctx, wait)
			}
			if err != nil {
				return Signaled
			}
		case "exit":
			code, text, _ := strings.Cut(d.Args, " ")
			n, err := strconv.Atoi(code)
			if err != nil {
				return c.Fail(2, "bad fault %q", d.Args)
			}
			if text != "" {
				fmt.Fprintln(stderr, text)
			}
			return n
		}
	}
	return run(ctx, c)
}

func (c *Call) notFound() int {
	fmt.Fprintf(c.Stderr, "env: '%s': No such file or directory\n", c.Args[0])
	return 127
}

// split parses words in single quotes, and bare ones of harmless characters.
func split(line string) (words []string, err error) {
	for i := 0; i < len(line); {
		if line[i] == ' ' {
			i++
			continue
		}
		var w strings.Builder
		for i < len(line) && line[i] != ' ' {
			switch c := line[i]; {
			case c == '\'':
				end := strings.IndexByte(line[i+1:], '\'')
				if end < 0 {
					return nil, errors.New("unterminated quote")
				}
				w.WriteString(line[i+1 : i+1+end])
				i += end + 2
			case c == '\\' && i+1 < len(line):
				w.WriteByte(line[i+1])
				i += 2
			case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-_./=,:+@%", c) >= 0:
				w.WriteByte(c)
				i++
			default:
				return nil, fmt.Errorf("the lab's shell takes words only, not %q", c)
			}
		}
		words = append(words, w.String())
	}
	return words, nil
}

// date prints the host's clock. Fault: "ahead 1h".
func date(_ context.Context, c *Call) int {
	if len(c.Args) != 2 || c.Args[1] != "+%s" {
		return c.Fail(1, "the lab prints seconds alone")
	}
	at := c.Now()
	deeds, err := c.Due("ahead")
	for _, d := range deeds {
		var by time.Duration
		if by, err = d.Duration(time.Hour); err == nil {
			at = at.Add(by)
		}
	}
	if err != nil {
		return c.Fail(1, "%v", err)
	}
	fmt.Fprintln(c.Stdout, at.Unix())
	return 0
}
