package cloud_test

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"

	"filippo.io/age"

	"github.com/neosofia/runner/builtins/internal/target"
	"github.com/neosofia/runner/builtins/internal/target/targettest"
	"github.com/neosofia/runner/builtins/lab"
	"github.com/neosofia/runner/runtime/failure"
	"github.com/neosofia/runner/runtime/ledger"
)

// Whatever goes wrong at the store: the copy is there and proven, or it is not there and
// the error says why. None is called fine that is not.
func TestFaultsOfOneDriveHaveTheirOutcomes(t *testing.T) {
	t.Parallel()
	const put = "graph PUT /uploads/*"
	for name, c := range map[string]struct {
		faults []lab.Fault
		want   failure.Code // of the copy; none: it is made
		said   string
	}{
		"a part is taken and the answer is lost": {[]lab.Fault{{On: put, Do: "cut", Times: 1}}, failure.Code{}, ""},
		"the connection breaks before a part":    {[]lab.Fault{{On: put, Do: "cut-before", Times: 1}}, failure.Code{}, ""},
		"429 with Retry-After":                   {[]lab.Fault{{On: put, Do: "limit 1", Times: 1}}, failure.Code{}, ""},
		"429 without Retry-After":                {[]lab.Fault{{On: put, Do: "limit", Times: 2}}, failure.Code{}, ""},
		"the service is away for a moment":       {[]lab.Fault{{On: put, Do: "answer 503 serviceNotAvailable", Times: 2}}, failure.Code{}, ""},
		"the session is gone":                    {[]lab.Fault{{On: put, Do: "gone", Times: 1}}, target.CodeDown, "upload session was not found"},
		"507":                                    {[]lab.Fault{{On: put, Do: "answer 507 quotaLimitReached"}}, target.CodeFull, "recycle bin"},
		"access is denied": {[]lab.Fault{{On: "graph POST *createUploadSession", Do: "answer 403 accessDenied"}}, target.CodeDenied,
			"accessDenied"},
		"a file is stored with a flipped bit and the right digest": {[]lab.Fault{{On: put, Do: "flip", Times: 1}}, failure.Code{}, ""},
		"a captive portal answers for the API": {[]lab.Fault{{On: "graph * /v1.0/*", Do: "portal"}}, target.CodeDown,
			"want to be logged in to"},
		"the API cuts every connection": {[]lab.Fault{{On: "graph * /v1.0/*", Do: "cut-before"}}, target.CodeDown,
			"curl -I https://graph.microsoft.com"},
		"the login's host answers with a page": {[]lab.Fault{{On: "graph POST *token", Do: "portal"}}, target.CodeDenied, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			a := newAccount(t)
			if err := a.Inject(c.faults...); err != nil {
				t.Fatal(err)
			}
			id, recipient := targettest.Keys(t, false)
			tgt, err := a.open(t, func(s *target.Spec, _ *target.Env) { s.PartSize, s.SealedTo = 1<<20, []string{recipient} })
			var o target.Outcome
			data := targettest.Bytes(7, 5<<19)
			if err == nil {
				o = target.Copy(t.Context(), targettest.Source(targettest.File{Name: "disk.raw", Data: data}), []*target.Target{tgt})[0]
				err = o.Err
			}
			targettest.Refused(t, err, c.want)
			if err != nil {
				if !strings.Contains(err.Error(), c.said) {
					t.Errorf("got %v, want it to say %q", err, c.said)
				}
				if again(t, a, tgt, recipient, data); t.Failed() {
					t.Log("the night after failed")
				}
				return
			}
			proven(t, a, tgt, o.Copy, data, id, strings.HasPrefix(name, "a file is stored with a flipped bit"))
		})
	}
}

// again is the night after, with nothing wrong any more: it makes the copy.
func again(t *testing.T, a *account, tgt *target.Target, recipient string, data []byte) {
	t.Helper()
	if err := a.Inject(); err != nil {
		t.Fatal(err)
	}
	if tgt == nil {
		tgt = a.must(t, func(s *target.Spec, _ *target.Env) { s.PartSize, s.SealedTo = 1<<20, []string{recipient} })
	}
	targettest.One(t, targettest.Source(targettest.File{Name: "disk.raw", Data: data}), tgt)
}

// proven reads a copy back: it is what was written, or the damage is found.
func proven(t *testing.T, a *account, tgt *target.Target, c ledger.Copy, data []byte, id age.Identity, damaged bool) {
	t.Helper()
	if _, err := tgt.Verify(t.Context(), c, ledger.Stored, nil, nil); err != nil {
		t.Errorf("stored: %v", err)
	}
	_, err := tgt.Verify(t.Context(), c, ledger.Read, nil, nil)
	if damaged {
		targettest.Refused(t, err, target.CodeDamaged)
		return
	}
	if err != nil {
		t.Error(err)
	}
	if got := targettest.ReadAll(t, tgt, c, "disk.raw", id); !bytes.Equal(got, data) {
		t.Error("other bytes came back")
	}
}

func TestReadingBackFindsWhatAServerDoes(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	_, recipient := targettest.Keys(t, false)
	tgt := a.must(t, func(s *target.Spec, _ *target.Env) { s.PartSize, s.SealedTo = 1<<20, []string{recipient} })
	c := targettest.One(t, targettest.Source(targettest.File{Name: "disk.raw", Data: targettest.Bytes(7, 5<<19)}), tgt).Copy
	for name, f := range map[string]struct {
		fault lab.Fault
		want  failure.Code
	}{
		"another file's bytes":         {lab.Fault{On: "graph GET /download/*.age", Do: "other", Times: 1}, target.CodeDamaged},
		"half of the file":             {lab.Fault{On: "graph GET /download/*.age", Do: "short", Times: 1}, target.CodeDown},
		"a page of HTML instead of it": {lab.Fault{On: "graph GET /download/*.age", Do: "portal", Times: 1}, target.CodeDamaged},
		"the manifest is not in reach": {lab.Fault{On: "graph GET *manifest.json*", Do: "answer 404 itemNotFound", Times: 1},
			target.CodeDamaged},
		"nothing is wrong any more then": {lab.Fault{On: "graph GET /none", Do: "cut"}, failure.Code{}},
	} {
		if err := a.Inject(f.fault); err != nil {
			t.Fatal(err)
		}
		_, err := tgt.Verify(t.Context(), c, ledger.Read, nil, nil)
		if failure.CodeOf(err).Name != f.want.Name && !(f.want == target.CodeDamaged && failure.Is(err, target.CodeDown)) {
			t.Errorf("%s: got %v, want %s", name, err, f.want.Name)
		}
	}
}

func TestTokensAreKeptBeforeTheyAreUsed(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	tgt := a.must(t, nil)
	if a.kept == 0 || bytes.Equal(a.login, lab.Secrets()["onedrive"]) {
		t.Fatal("the rotated token was not kept")
	}
	targettest.One(t, targettest.Source(targettest.File{Name: "a", Data: []byte("x")}), tgt)
	// Where it cannot be kept, it is not used: the process ends, and says so.
	b := newAccount(t)
	_, err := b.open(t, func(s *target.Spec, _ *target.Env) { s.Keep = func([]byte) error { return os.ErrPermission } })
	if err == nil || !strings.Contains(err.Error(), "could not be kept") || !strings.Contains(err.Error(), "permission denied") {
		t.Errorf("got %v, want that the login could not be kept", err)
	}
	// A token that ends before its time is renewed.
	if err := a.OneDrive().Expire(); err != nil {
		t.Fatal(err)
	}
	a.must(t, nil)
	// Revoked: nothing helps but to log in again.
	if err := a.OneDrive().Revoke(); err != nil {
		t.Fatal(err)
	}
	a.login = lab.Secrets()["onedrive"]
	_, err = a.open(t, nil)
	targettest.Refused(t, err, target.CodeDenied)
	if err == nil || !strings.Contains(err.Error(), "runner cloud login") {
		t.Errorf("got %v, want the command", err)
	}
	if strings.Contains(err.Error(), "rclone") {
		t.Errorf("got %v: it names another program's commands", err)
	}
}

// On 2027-04-01 the URLs of uploads and downloads want a token of their own host.
func TestURLsThatAreNotPreAuthenticated(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	if err := a.OneDrive().Retire(true); err != nil {
		t.Fatal(err)
	}
	tgt := a.must(t, nil)
	data := targettest.Bytes(3, 1<<20)
	c := targettest.One(t, targettest.Source(targettest.File{Name: "a.raw", Data: data}), tgt).Copy
	if got := targettest.ReadAll(t, tgt, c, "a.raw"); !bytes.Equal(got, data) {
		t.Error("other bytes came back")
	}
}

func TestTheStoreIsFull(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	if err := a.OneDrive().SetQuota(8 << 20); err != nil {
		t.Fatal(err)
	}
	tgt := a.must(t, nil)
	free, total, err := tgt.Space(t.Context())
	if err != nil || free != 8<<20 || total != 8<<20 {
		t.Errorf("got %d of %d, %v", free, total, err)
	}
	o := target.Copy(t.Context(), targettest.Source(targettest.File{Name: "a.raw", Data: targettest.Bytes(3, 12<<20)}),
		[]*target.Target{tgt})[0]
	targettest.Refused(t, o.Err, target.CodeFull)
}

// What is deleted goes to the recycle bin, and what is replaced becomes a version: both
// count, and both are there for whom ransomware has met.
func TestWhatIsRemovedLiesInTheRecycleBin(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	tgt := a.must(t, nil)
	c := targettest.One(t, targettest.Source(targettest.File{Name: "a.raw", Data: targettest.Bytes(3, 1<<20)}), tgt).Copy
	before, _, err := tgt.Space(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tgt.Remove(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if after, _, err := tgt.Space(t.Context()); err != nil || after > before {
		t.Errorf("got %d free after %d, %v: what lies in the bin counts", after, before, err)
	}
	if bin, err := os.ReadDir(a.OneDrive().Recycled()); err != nil || len(bin) == 0 {
		t.Errorf("got %v, %v in the recycle bin", bin, err)
	}
}

func TestALoginOfAnotherKindIsRefused(t *testing.T) {
	t.Parallel()
	a := newAccount(t)
	for name, login := range map[string]string{
		"not one":      "hunter2",
		"of a store":   `{"type":"webdav","options":{"url":"https://dav.example"}}`,
		"of no engine": `{"type":"onedrive","options":{"token":"x"}}`,
	} {
		_, err := a.open(t, func(s *target.Spec, _ *target.Env) {
			s.Login = func(context.Context) ([]byte, error) { return []byte(login), nil }
		})
		if err == nil || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
