package share

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const set = "00112233445566ff"

// FIPS 197, section 4.2: {57} x {83} = {c1}, {57} x {13} = {fe}; and the inverse
// of {53} is {ca}, as its S-box takes it.
func TestTheFieldIsThatOfAES(t *testing.T) {
	for _, c := range []struct{ a, b, want byte }{{0x57, 0x83, 0xc1}, {0x57, 0x13, 0xfe}, {0x57, 0x02, 0xae}, {0x53, 0xca, 0x01},
		{0, 0xff, 0}} {
		if got := mul(c.a, c.b); got != c.want {
			t.Errorf("%02x x %02x: got %02x, want %02x", c.a, c.b, got, c.want)
		}
	}
	for a := 1; a < 256; a++ {
		if mul(byte(a), inv(byte(a))) != 1 {
			t.Errorf("%02x has the inverse %02x", a, inv(byte(a)))
		}
	}
}

// By hand: the secret 42 with 2 of 3, the coefficient of x is 0d: y = 42 ^ 0d*x.
func TestVectors(t *testing.T) {
	for _, c := range []struct {
		name   string
		shares []Share
		want   string
	}{
		{"2 of 3, at 1 and 2", []Share{{set, 2, 3, 1, []byte{0x42 ^ 0x0d}}, {set, 2, 3, 2, []byte{0x42 ^ 0x1a}}}, "42"},
		{"2 of 3, at 1 and 3", []Share{{set, 2, 3, 1, []byte{0x4f}}, {set, 2, 3, 3, []byte{0x42 ^ 0x1a ^ 0x0d}}}, "42"},
		{"all three", []Share{{set, 2, 3, 1, []byte{0x4f}}, {set, 2, 3, 2, []byte{0x58}}, {set, 2, 3, 3, []byte{0x55}}}, "42"},
		// y = 01 ^ 02*x ^ 03*x*x at 1, 2 and 80: x*x of 80 is 9a.
		{"3 of 3", []Share{{set, 3, 3, 1, []byte{0x00}}, {set, 3, 3, 2, []byte{0x01 ^ 0x04 ^ 0x0c}},
			{set, 3, 3, 0x80, []byte{0x01 ^ 0x1b ^ 0xb5}}}, "01"},
	} {
		got, err := Combine(c.shares)
		if err != nil || hex.EncodeToString(got) != c.want {
			t.Errorf("%s: got %x, %v, want %s", c.name, got, err, c.want)
		}
	}
}

func TestTheTextIsFixed(t *testing.T) {
	s := Share{set, 2, 3, 7, []byte{0xab, 0xcd}}
	const want = "runner-share1-00112233445566ff-2-3-7-abcd-"
	if got := s.Text(); !strings.HasPrefix(got, want) || len(got) != len(want)+8 {
		t.Errorf("got %s, want %s…", got, want)
	}
	typed := " RUNNER-share1-00112233445566FF-2-3-\n 7-ab CD-" + s.Text()[len(want):] + "\n"
	back, err := Parse(typed)
	if err != nil || back.Text() != s.Text() || back.Commitment() != s.Commitment() {
		t.Errorf("typed: got %+v, %v", back, err)
	}
}

// subsets calls fn with every subset of size k.
func subsets(list []Share, k int, fn func([]Share)) {
	for mask := uint(0); mask < 1<<len(list); mask++ {
		if bits.OnesCount(mask) != k {
			continue
		}
		var pick []Share
		for i, s := range list {
			if mask&(1<<i) != 0 {
				pick = append(pick, s)
			}
		}
		fn(pick)
	}
}

func TestEverySubsetOfMGivesTheSecretAndNoneOfFewer(t *testing.T) {
	for n := 2; n <= 7; n++ {
		for m := 2; m <= n; m++ {
			secret := make([]byte, 1+rand.IntN(80))
			for i := range secret {
				secret[i] = byte(rand.IntN(256))
			}
			shares, err := Split(secret, set, m, n, nil)
			if err != nil {
				t.Fatal(err)
			}
			for k := m; k <= n; k++ {
				subsets(shares, k, func(pick []Share) {
					rand.Shuffle(len(pick), func(i, j int) { pick[i], pick[j] = pick[j], pick[i] })
					if got, err := Combine(pick); err != nil || !bytes.Equal(got, secret) {
						t.Errorf("%d of %d with %d: got %x, %v, want %x", m, n, k, got, err, secret)
					}
				})
			}
			for k := 1; k < m; k++ {
				subsets(shares, k, func(pick []Share) {
					var few *FewError
					if got, err := Combine(pick); !errors.As(err, &few) || few.Have != k || few.Need != m {
						t.Errorf("%d of %d with %d: got %x, %v", m, n, k, got, err)
					}
				})
			}
		}
	}
}

// M-1 shares fit every secret equally: for each value of the secret's byte there
// is exactly one value of the missing share.
func TestMMinusOneSharesTellNothing(t *testing.T) {
	shares, err := Split([]byte{0x5a}, set, 3, 3, nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[byte]bool{}
	for y := range 256 {
		got, err := Combine([]Share{shares[0], shares[1], {set, 3, 3, shares[2].X, []byte{byte(y)}}})
		if err != nil {
			t.Fatal(err)
		}
		seen[got[0]] = true
	}
	if len(seen) != 256 {
		t.Errorf("two shares leave %d values possible, want 256", len(seen))
	}
}

func TestPointsAreDistinctAndNeverZero(t *testing.T) {
	shares, err := Split([]byte("x"), set, 2, MaxShares, nil)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[byte]bool{0: true}
	for _, s := range shares {
		if seen[s.X] {
			t.Errorf("x %d is 0 or there twice", s.X)
		}
		seen[s.X] = true
	}
	orders := map[string]bool{}
	for range 16 {
		few, err := Split([]byte("x"), set, 2, 3, nil)
		if err != nil {
			t.Fatal(err)
		}
		orders[fmt.Sprint(few[0].X, few[1].X, few[2].X)] = true
	}
	if len(orders) < 8 {
		t.Errorf("16 splits have %d different x: they are not drawn", len(orders))
	}
}

func TestWhatIsNoSplitOrNoShareIsRefused(t *testing.T) {
	for _, c := range []struct {
		name   string
		secret []byte
		set    string
		m, n   int
	}{
		{"each alone has it", []byte("x"), set, 1, 3}, {"fewer than are needed", []byte("x"), set, 3, 2}, {"too many", []byte("x"), set, 2, 256},
		{"no secret", nil, set, 2, 3}, {"a secret that is too long", make([]byte, MaxSecret+1), set, 2, 3}, {"no set", []byte("x"), "zz", 2, 3},
	} {
		if _, err := Split(c.secret, c.set, c.m, c.n, nil); err == nil {
			t.Errorf("%s: it was split", c.name)
		}
	}
	if _, err := Split([]byte("x"), set, 2, 3, bytes.NewReader(nil)); err == nil {
		t.Error("without random bytes: it was split")
	}
	shares, err := Split([]byte("secret"), set, 2, 3, nil)
	if err != nil {
		t.Fatal(err)
	}
	good := shares[0].Text()
	other := shares[1]
	other.Set = "ffffffffffffffff"
	for _, c := range []struct {
		name   string
		shares []Share
		want   string
	}{
		{"none", nil, "no shares given"}, {"one twice", []Share{shares[0], shares[0]}, "there twice"},
		{"of two sets", []Share{shares[0], other}, "different sets"},
		{"of another length", []Share{shares[0], {set, 2, 3, 9, []byte("x")}}, "do not belong together"},
		{"x of zero", []Share{shares[0], {set, 2, 3, 0, shares[1].Y}}, "do not belong together"},
		{"a false one among more than are needed", []Share{shares[0], shares[1], {set, 2, 3, shares[2].X, []byte("false!")}},
			"one of them is false"},
	} {
		if _, err := Combine(c.shares); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.name, err, c.want)
		}
	}
	for i := range good { // one character changed, anywhere
		bad := []byte(good)
		if bad[i]++; bad[i] == '.' {
			bad[i]++
		}
		if s, err := Parse(string(bad)); err == nil {
			t.Errorf("changed at %d: %s was taken as %+v", i, bad, s)
		}
	}
	for _, text := range []string{"", "runner-share1", good[:len(good)-9], good + "0", strings.Repeat("x", 1<<20),
		strings.Replace(good, "share1", "share2", 1)} {
		if _, err := Parse(text); err == nil {
			t.Errorf("%.60q was taken", text)
		}
	}
}

// The recipe that lies beside the shares gives the same as this package.
func TestTheRecipeCombinesWithoutRunner(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no python3: apt-get install python3")
	}
	dir := t.TempDir()
	script := filepath.Join(dir, "combine.py")
	if err := os.WriteFile(script, []byte(Recipe), 0o600); err != nil {
		t.Fatal(err)
	}
	const identity = "AGE-SECRET-KEY-1GFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPYYSJZGFPQ4EGAEX"
	shares, err := Split([]byte(identity), set, 3, 5, nil)
	if err != nil {
		t.Fatal(err)
	}
	files := make([]string, len(shares))
	for i, s := range shares {
		files[i] = filepath.Join(dir, fmt.Sprintf("share-%d.txt", i))
		if err := os.WriteFile(files[i], []byte(s.Text()+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	run := func(files ...string) (string, error) {
		out, err := exec.CommandContext(t.Context(), python, append([]string{script}, files...)...).CombinedOutput()
		return strings.TrimSpace(string(out)), err
	}
	for _, pick := range [][]string{{files[0], files[1], files[2]}, {files[4], files[2], files[0]}, files} {
		if got, err := run(pick...); err != nil || got != identity {
			t.Errorf("%d shares: got %s, %v", len(pick), got, err)
		}
	}
	if got, err := run(files[0], files[1], files[0]); err == nil || !strings.Contains(got, "2 different shares, and 3 are needed") {
		t.Errorf("too few: got %s, %v", got, err)
	}
	false1 := shares[0]
	false1.Y = append([]byte(nil), false1.Y...)
	false1.Y[3] ^= 1
	if err := os.WriteFile(files[3], []byte(false1.Text()), 0o600); err != nil {
		t.Fatal(err)
	}
	if got, err := run(files[3], files[1], files[2]); err == nil || !strings.Contains(got, "one of the shares is false") {
		t.Errorf("a false one: got %s, %v", got, err)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(Share{set, 2, 3, 7, []byte{0xab, 0xcd}}.Text())
	f.Add("runner-share1-00112233445566ff-2-3-7-abcd-00000000")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := Parse(text)
		if err != nil {
			return
		}
		back, err := Parse(s.Text())
		if err != nil || back.Text() != s.Text() || s.X == 0 || s.M < 2 || s.N < s.M {
			t.Errorf("%q was taken as %+v, %v", text, s, err)
		}
	})
}
