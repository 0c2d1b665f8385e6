package proxmox

import (
	"context"
	"errors"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/neosofia/runner/builtins/lab/fault"
)

// workDeeds are the deeds of a task's event.
var workDeeds = []string{"slow", "fail", "full", "warnings", "exit", "truncate", "flip", "remove", "lock", "say", "no-notes"}

// storageFault asks for the state of a storage: place "storage backup".
func (c *Cluster) storageFault(id, deed string) bool {
	due, err := c.cfg.Faults.Due("storage "+id, deed)
	return err == nil && len(due) > 0
}

// deed finds one deed by name.
func deed(due []fault.Deed, name string) (fault.Deed, bool) {
	for _, d := range due {
		if d.Name == name {
			return d, true
		}
	}
	return fault.Deed{}, false
}

// ending turns the deeds of a task into its exit.
func ending(due []fault.Deed) error {
	if d, ok := deed(due, "exit"); ok {
		return &exitError{text: d.Args, log: d.Args != "unexpected status"}
	}
	if d, ok := deed(due, "warnings"); ok {
		if d.Args == "" {
			d.Args = "1"
		}
		return &exitError{text: "WARNINGS: " + d.Args, log: true}
	}
	return nil
}

// pace spreads work over the time that a "slow" deed asks for.
type pace struct {
	c     *Cluster
	began time.Time
	total time.Duration
	step  int
}

const paceSteps = 40

func (c *Cluster) newPace(due []fault.Deed, began time.Time) (*pace, error) {
	p := &pace{c: c, began: began}
	d, ok := deed(due, "slow")
	if !ok {
		return p, nil
	}
	var err error
	p.total, err = d.Duration(time.Second)
	return p, err
}

// at is called with the share of the work that is done; it waits until that
// share of the time is over.
func (p *pace) at(ctx context.Context, done, of int64) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if p.total == 0 || of == 0 {
		return nil
	}
	step := int(done * paceSteps / of)
	if step <= p.step {
		return nil
	}
	p.step = step
	due := p.began.Add(p.total * time.Duration(step) / paceSteps)
	return p.c.cfg.Sleep(ctx, due.Sub(p.c.cfg.Now()))
}

// spoil does to a finished archive what the deeds ask for.
func spoil(path string, due []fault.Deed) error {
	for _, d := range due {
		var err error
		switch d.Name {
		case "truncate":
			err = truncateAt(path, d.Args)
		case "flip":
			err = flipAt(path, d.Args)
		case "remove":
			err = os.Remove(path)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// offset reads a position in a file of this size; a negative one counts from
// the end, none is the middle.
func offset(arg string, size int64) (int64, error) {
	if strings.TrimSpace(arg) == "" {
		return size / 2, nil
	}
	n, err := strconv.ParseInt(arg, 10, 64)
	if err != nil {
		return 0, err
	}
	if n < 0 {
		n += size
	}
	if n < 0 || n > size {
		return 0, errors.New("fault names an offset outside of the file")
	}
	return n, nil
}

func truncateAt(path, arg string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	n, err := offset(arg, info.Size())
	if err != nil {
		return err
	}
	return os.Truncate(path, n)
}

func flipAt(path, arg string) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	n, err := offset(arg, info.Size())
	if err != nil {
		return err
	}
	var b [1]byte
	if _, err := f.ReadAt(b[:], n); err != nil {
		return err
	}
	b[0] ^= 0x10
	_, err = f.WriteAt(b[:], n)
	return err
}
