package target_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/neosofia/runner/builtins/internal/client/ssh"
	"github.com/neosofia/runner/builtins/internal/target"
	. "github.com/neosofia/runner/builtins/internal/target/targettest"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

func openServer(t testing.TB, s *Server, change func(*target.Spec, *target.Env)) (*target.Target, error) {
	t.Helper()
	spec, env := s.Spec(), Env(Stick())
	if change != nil {
		change(&spec, &env)
	}
	tgt, err := target.Open(context.Background(), spec, env)
	if err == nil {
		t.Cleanup(func() { tgt.Close() })
	}
	return tgt, err
}

func serve(t testing.TB) (*Server, *target.Target) {
	t.Helper()
	s := Serve(t, t.TempDir())
	tgt, err := openServer(t, s, nil)
	if err != nil {
		t.Fatal(err)
	}
	return s, tgt
}

func TestServer(t *testing.T) {
	Run(t, func(t *testing.T) (*target.Target, Hooks) {
		s, tgt := serve(t)
		return tgt, Hooks{Dir: s.Dir, Open: func(t *testing.T, change func(*target.Spec, *target.Env)) *target.Target {
			tgt, err := openServer(t, s, change)
			if err != nil {
				t.Fatal(err)
			}
			return tgt
		}}
	})
}

// TestOpenSSH is TestServer with OpenSSH's own server program at the other end.
func TestOpenSSH(t *testing.T) {
	const program = "/usr/lib/openssh/sftp-server"
	if _, err := os.Stat(program); err != nil {
		t.Skip("install openssh-sftp-server")
	}
	Run(t, func(t *testing.T) (*target.Target, Hooks) {
		s := ServeBy(t, t.TempDir(), program)
		open := func(t *testing.T, change func(*target.Spec, *target.Env)) *target.Target {
			tgt, err := openServer(t, s, change)
			if err != nil {
				t.Fatal(err)
			}
			return tgt
		}
		return open(t, nil), Hooks{Dir: s.Dir, Open: open}
	})
}

// TestOpenSSHOnADisk holds that "failure" is understood.
func TestOpenSSHOnADisk(t *testing.T) {
	const program = "/usr/lib/openssh/sftp-server"
	if _, err := os.Stat(program); err != nil {
		t.Skip("install openssh-sftp-server")
	}
	for name, readOnly := range map[string]bool{"full": false, "read-only": true} {
		t.Run(name, func(t *testing.T) {
			s := ServeBy(t, disk(t, "16m"), program)
			tgt, err := openServer(t, s, nil)
			if err != nil {
				t.Fatal(err)
			}
			src, want := Source(File{Name: "disk.raw", Data: Bytes(5, 20<<20)}), target.CodeFull
			src.Artifact.Files[0].Size = -1
			if readOnly {
				want = target.CodeReadOnly
				if err := unix.Mount("", s.Dir, "", unix.MS_REMOUNT|unix.MS_RDONLY, ""); err != nil {
					t.Fatal(err)
				}
			}
			o := target.Copy(context.Background(), src, []*target.Target{tgt})[0]
			Refused(t, o.Err, want)
		})
	}
}

func TestServerThatCutsTheConnection(t *testing.T) {
	const size = 6 << 20
	data := Bytes(1, size)
	for _, seal := range []bool{false, true} {
		for _, at := range []int64{1, 255_000, 1 << 20, 3_000_001, size - 1} {
			t.Run(fmt.Sprintf("sealed %t, after %d bytes", seal, at), func(t *testing.T) {
				s := Serve(t, t.TempDir())
				id, recipient := Keys(t, false)
				tgt, err := openServer(t, s, func(spec *target.Spec, _ *target.Env) {
					if seal {
						spec.SealedTo, spec.PartSize = []string{recipient}, 1<<20
					}
				})
				if err != nil {
					t.Fatal(err)
				}
				src := Source(File{Name: "disk.raw", Data: data})
				s.Set(Faults{CutAfter: at})
				o := target.Copy(context.Background(), src, []*target.Target{tgt})[0]
				Refused(t, o.Err, target.CodeDown)
				var e *failure.Error
				if errors.As(o.Err, &e) && !e.Temporary {
					t.Errorf("got an error that lasts, want a temporary one")
				}
				// The same target connects again and goes on.
				o = One(t, src, tgt)
				if at > 2<<20 && o.Resumed == 0 {
					t.Errorf("got nothing resumed after a cut at %d", at)
				}
				if got := ReadAll(t, tgt, o.Copy, "disk.raw", id); string(got) != string(data) {
					t.Errorf("got other bytes than were copied")
				}
			})
		}
	}
}

func TestServerFaults(t *testing.T) {
	for name, c := range map[string]struct {
		faults Faults
		want   failure.Code
	}{
		"its disk is full":                       {Faults{FullAfter: 1 << 20}, target.CodeFull},
		"its disk is mounted read-only":          {Faults{ReadOnly: true}, target.CodeReadOnly},
		"the account may not write":              {Faults{Deny: true}, target.CodeDenied},
		"it has less than it acknowledged":       {Faults{Lose: 7}, target.CodeDamaged},
		"it breaks off during the transfer":      {Faults{CutAfter: 1 << 20}, target.CodeDown},
		"it fails, and its disk has space":       {Faults{Fail: true}, target.CodeFailed},
		"its disk is full, and it does not tell": {Faults{FullAfter: 1 << 20, NoStatVFS: true}, target.CodeFailed},
	} {
		t.Run(name, func(t *testing.T) {
			s, tgt := serve(t)
			dir := newFolder(t)
			local := openFolder(t, dir, nil)
			s.Set(c.faults)
			src := Source(File{Name: "disk.raw", Data: Bytes(2, 5<<20)})
			out := target.Copy(context.Background(), src, []*target.Target{tgt, local})
			Refused(t, out[0].Err, c.want)
			if out[1].Err != nil {
				t.Errorf("got %v from the other target, want it to finish", out[1].Err)
			}
			if _, err := local.Verify(context.Background(), out[1].Copy, ledger.Read, nil, nil); err != nil {
				t.Errorf("got %v, want the other copy sound", err)
			}
			s.Set(Faults{})
			if all, _, err := tgt.List(context.Background()); err != nil || len(all) != 0 {
				t.Errorf("got %d copies, error %v, want none", len(all), err)
			}
		})
	}
}

func TestAFailureWithoutAReasonNamesWhatItMayBe(t *testing.T) {
	for name, c := range map[string]struct {
		faults Faults
		disk   bool // whether the disk is named among the causes
	}{
		"where statvfs is not offered": {Faults{Fail: true, NoStatVFS: true}, true},
		"where there is space":         {Faults{Fail: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			s, tgt := serve(t)
			s.Set(c.faults)
			err := tgt.PutCheckpoint(context.Background(), "a", "b")
			Refused(t, err, target.CodeFailed)
			var e *failure.Error
			if !errors.As(err, &e) || e.Temporary || !strings.Contains(e.Said, "the server gives no reason") || !strings.Contains(e.Hint, "quota") ||
				!strings.Contains(e.Hint, "name that is taken") || strings.Contains(e.Hint, "full disk") != c.disk {
				t.Errorf("got %#v", e)
			}
		})
	}
}

// program is a script that a server starts as its SFTP.
func program(t *testing.T, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "program")
	if err := os.WriteFile(path, []byte("#!/bin/sh\n"+text), 0o755); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestALoginThatDoesNotLeadToSFTP(t *testing.T) {
	for name, c := range map[string]struct {
		script     string
		code       failure.Code
		said, hint string
		temporary  bool
	}{
		"a shell that greets": {"echo 'Welcome to the storage box'\nexec /usr/lib/openssh/sftp-server\n", target.CodeNoSFTP,
			`the account's login prints text before the SFTP protocol: "Welcome to the storage box"`, "ForceCommand internal-sftp", false},
		"an account that may not log in": {"echo This account is currently not available.\nexit 1\n", target.CodeNoSFTP,
			`"This account is currently not available."`, "ForceCommand internal-sftp", false},
		"one that says nothing": {"exec cat >/dev/null\n", target.CodeDown, "the host fell silent", "says nothing", true},
		"one that ends at once": {"exit 1\n", target.CodeDown, "the account's login ends before SFTP answers, and says nothing",
			"ForceCommand internal-sftp", true},
	} {
		t.Run(name, func(t *testing.T) {
			s := ServeBy(t, t.TempDir(), program(t, c.script))
			_, err := openServer(t, s, func(_ *target.Spec, env *target.Env) { env.Silence = 400 * time.Millisecond })
			Refused(t, err, c.code)
			var e *failure.Error
			if !errors.As(err, &e) || e.Temporary != c.temporary || !strings.Contains(e.Said, c.said) || !strings.Contains(e.Hint, c.hint) {
				t.Errorf("got %#v", e)
			}
		})
	}
}

func TestServerThatAnswersNoMore(t *testing.T) {
	s, tgt := serve(t)
	target.SetSilence(tgt, 80_000_000)
	if err := tgt.PutCheckpoint(context.Background(), "a", "b"); err != nil {
		t.Fatal(err)
	}
	s.Set(Faults{Mute: true})
	o := target.Copy(context.Background(), Source(File{Name: "disk.raw", Data: Bytes(3, 1<<20)}), []*target.Target{tgt})[0]
	Refused(t, o.Err, target.CodeDown)
	if o.Err == nil || !strings.Contains(o.Err.Error(), "has not answered") {
		t.Errorf("got %v, want it to say that the server is silent", o.Err)
	}
}

func TestServerThatIsAnother(t *testing.T) {
	s, other := Serve(t, t.TempDir()), Serve(t, t.TempDir())
	for name, c := range map[string]struct {
		change func(*target.Spec, *target.Env)
		want   failure.Code
	}{
		"another host key":           {func(s *target.Spec, _ *target.Env) { s.HostKey = other.HostKey }, ssh.CodeHostKey},
		"no host key":                {func(s *target.Spec, _ *target.Env) { s.HostKey = "" }, ssh.CodeHostKey},
		"a host key that is none":    {func(s *target.Spec, _ *target.Env) { s.HostKey = "ssh-ed25519 x" }, ssh.CodeHostKey},
		"a host key of another kind": {func(s *target.Spec, _ *target.Env) { s.HostKey = rsaKey }, ssh.CodeHostKey},
		"a key that may not log in": {func(s *target.Spec, _ *target.Env) {
			s.Key = func(context.Context) ([]byte, error) { return append([]byte(nil), other.Key...), nil }
		}, target.CodeDenied},
		"a key that is none": {func(s *target.Spec, _ *target.Env) {
			s.Key = func(context.Context) ([]byte, error) { return []byte("x"), nil }
		}, target.CodeDenied},
		"nobody listens":        {func(s *target.Spec, _ *target.Env) { s.URL = "sftp://backup@127.0.0.1:1/" }, target.CodeDown},
		"the folder is missing": {func(s *target.Spec, _ *target.Env) { s.URL += "missing" }, target.CodeNotFound},
		"a password in the url": {func(s *target.Spec, _ *target.Env) { s.URL = "sftp://a:b@127.0.0.1/" }, target.CodeBadTarget},
		"both kinds of recipients": {func(s *target.Spec, _ *target.Env) {
			_, a := Keys(t, true)
			_, b := Keys(t, false)
			s.SealedTo = []string{a, b}
		}, target.CodeBadTarget},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := openServer(t, s, c.change)
			Refused(t, err, c.want)
		})
	}
}

const rsaKey = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQCqGKukO1De7zhZj6+H0qtjTkVxwTCpvKe4eCZ0FPqri0cb2JZfXJ/DgYSF6vUpwmJG8wVQZKjeGcjDOL5UlsuusFncCzWBQ7RKNUSesmQRMSGkVb1/3j+skZ6UtW+5u09lHNsj6tQ51s1SPrCBkedbNf0Tp0GbMJDyR4e9T04ZZw=="

func TestServerThatKeepsEverything(t *testing.T) {
	s := Serve(t, t.TempDir())
	tgt, err := openServer(t, s, func(spec *target.Spec, _ *target.Env) { spec.Immutable = true })
	if err != nil {
		t.Fatal(err)
	}
	s.Set(Faults{Keep: true})
	could, err := target.ProbeImmutable(context.Background(), tgt, "")
	if err != nil || len(could) > 0 {
		t.Fatalf("could %q, error %v, want nothing", could, err)
	}
	src := Source(File{Name: "disk.raw", Data: Bytes(4, 100_000)})
	if o := One(t, src, tgt); !o.Copy.Immutable || len(o.Notes) > 0 {
		t.Errorf("got immutable %t and notes %q, want a copy that counts as immutable", o.Copy.Immutable, o.Notes)
	}
	if _, err := os.Stat(filepath.Join(s.Dir, ".runner-parts")); err == nil {
		t.Error("got a folder for parts, want files written in place")
	}
}

func TestClosedTargetLeavesNoConnection(t *testing.T) {
	s, tgt := serve(t)
	tgt.Close()
	if err := tgt.PutCheckpoint(context.Background(), "a", "b"); err != nil {
		t.Fatalf("got %v, want the connection made again", err)
	}
	tgt.Close()
	s.WaitForNoConns(t)
}
