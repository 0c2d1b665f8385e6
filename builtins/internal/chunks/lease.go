package chunks

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"
	"time"

	"github.com/neosofia/runner/builtins/internal/durable"
	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/runtime/failure"
)

// Two files in the repository's folder are locked, and ignored by kopia. The lease is
// the writer's alone; its file says who it is and whether it ended well. Everybody, writer
// too, shares the other one, which maintenance takes for itself.
const (
	leaseName = "runner.lease"
	usersName = "runner.users"
)

// Holder is who holds, or held, the lease.
type Holder struct {
	Host  string    `json:"host"`
	Boot  string    `json:"boot"`
	PID   int       `json:"pid"`
	Since time.Time `json:"since"`
	Ended bool      `json:"ended"` // it gave the lease back
	// Snapshots were there at least. With fewer, an index was lost, and all that it knew would
	// be taken for garbage.
	Snapshots int `json:"snapshots"`
	// Clock is what kopia's clock had come to: what is written later is not to seem older.
	Clock time.Time `json:"clock"`
}

func (h Holder) String() string {
	return fmt.Sprintf("process %d of %s, since %s", h.PID, h.Host, h.Since.UTC().Format(time.RFC3339))
}

func self(now time.Time) Holder {
	h := Holder{PID: os.Getpid(), Since: now.UTC()}
	h.Host, _ = os.Hostname() // it only words the message
	raw, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	h.Boot = strings.TrimSpace(string(raw))
	return h
}

// maxAhead is how far ahead of the machine's clock a lease's is believed: nobody signed it.
const maxAhead = 366 * 24 * time.Hour

// locks are those of one Repository. Its process's end ends them.
type locks struct {
	lease *os.File // nil: a reader
	users *os.File // nil: a medium that cannot be written, where nobody maintains
	self  Holder   // what the lease says
	left  *Holder  // who held the lease before and did not give it back
}

func (r *Repository) lock(root *os.Root) error {
	users, err := root.OpenFile(usersName, os.O_RDWR|os.O_CREATE|durable.OpenFlags, 0o600)
	switch {
	case !r.options.Write && (errors.Is(err, syscall.EROFS) || errors.Is(err, fs.ErrPermission)):
	case err != nil:
		return r.fail("lock the repository", err)
	default:
		r.locks.users = users
		if err := flock(users, syscall.LOCK_SH); err != nil {
			return r.busy(err, "a maintenance")
		}
	}
	if !r.options.Write {
		return nil
	}
	lease, err := root.OpenFile(leaseName, os.O_RDWR|os.O_CREATE|durable.OpenFlags, 0o600)
	if err != nil {
		return r.fail("lock the repository", err)
	}
	r.locks.lease = lease
	raw, err := io.ReadAll(io.LimitReader(lease, 4096))
	if err != nil {
		return r.fail("read the lease", err)
	}
	var holder Holder
	known := json.Unmarshal(raw, &holder) == nil
	if err := flock(lease, syscall.LOCK_EX); err != nil {
		if known {
			return r.busy(err, holder.String())
		}
		return r.busy(err, "another process")
	}
	if known && !holder.Ended {
		r.locks.left = &holder
	}
	if now := r.options.Now(); holder.Clock.Before(now.Add(maxAhead)) {
		r.mu.Lock()
		r.floor = holder.Clock
		r.mu.Unlock()
	}
	r.locks.self = self(r.options.Now())
	r.locks.self.Snapshots = holder.Snapshots
	return r.fail("write the lease", r.tell())
}

// tell writes the lease with the clock of now.
func (r *Repository) tell() error {
	r.locks.self.Clock = r.now()
	return r.locks.tell()
}

// tell writes what the lease says.
func (l *locks) tell() error {
	raw, err := json.Marshal(l.self)
	if err == nil {
		err = l.lease.Truncate(0)
	}
	if err == nil {
		_, err = l.lease.WriteAt(raw, 0)
	}
	if err == nil {
		err = l.lease.Sync()
	}
	return err
}

// flock takes a lock at once or not at all.
func flock(f *os.File, how int) error {
	for {
		if err := syscall.Flock(int(f.Fd()), how|syscall.LOCK_NB); err != syscall.EINTR {
			return err
		}
	}
}

func (r *Repository) busy(err error, who string) error {
	if !errors.Is(err, syscall.EWOULDBLOCK) {
		return r.fail("lock the repository", err)
	}
	return &failure.Error{Code: target.CodeBusy, System: r.system(), Doing: "lock the repository", Said: "it is used by " + who,
		Temporary: true,
		Hint:      "wait until that one ends; only one process writes to a repository at a time"}
}

// unlock gives the lease back. snapshots is how many are there; negative: it is not known, or the
// end is not a good one.
func (l *locks) unlock(snapshots int) error {
	var errs []error
	if l.lease != nil {
		if snapshots >= 0 {
			l.self.Ended, l.self.Snapshots = true, snapshots
			errs = append(errs, l.tell())
		}
		errs = append(errs, l.lease.Close())
	}
	if l.users != nil {
		errs = append(errs, l.users.Close())
	}
	*l = locks{}
	return errors.Join(errs...)
}

// expect notes, before a flush, that fewer snapshots will be there.
func (r *Repository) expect(snapshots int) error {
	if snapshots >= r.locks.self.Snapshots {
		return nil
	}
	r.locks.self.Snapshots = snapshots
	return r.tell()
}

// noted tells, after a flush, that more snapshots are there: who is killed tells nothing any more.
func (r *Repository) noted() error {
	have := r.count()
	if have <= r.locks.self.Snapshots {
		return nil
	}
	r.locks.self.Snapshots = have
	return r.tell()
}

// complete says whether all snapshots are there that were.
func (r *Repository) complete(doing string) error {
	have, want := r.count(), r.locks.self.Snapshots
	if have >= want {
		return nil
	}
	return &failure.Error{Code: target.CodeDamaged, System: r.system(), Doing: doing,
		Said: fmt.Sprintf("%d snapshots are there, and %d were: an index was lost, or somebody deleted them by hand", have, want),
		Hint: "compare with kopia snapshot list --all, and with kopia index recover; remove " + leaseName + " to go on with what is there"}
}
