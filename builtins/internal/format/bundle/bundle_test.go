package bundle

import (
	"bytes"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
)

var key = bytes.Repeat([]byte{7}, keySize)

func classic(t testing.TB) *age.X25519Identity {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func hybrid(t testing.TB) *age.HybridIdentity {
	t.Helper()
	id, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func seal(t testing.TB, secrets [][2]string, to ...age.Recipient) []byte {
	t.Helper()
	var out bytes.Buffer
	w, err := NewWriter(&out, key, to...)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range secrets {
		if err := w.Add(s[0], int64(len(s[1])), strings.NewReader(s[1])); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func open(raw []byte, ids ...age.Identity) (out [][2]string, err error) {
	r, err := NewReader(bytes.NewReader(raw), ids...)
	if err != nil {
		return nil, err
	}
	if !bytes.Equal(r.Key, key) {
		return nil, errors.New("another key")
	}
	for {
		name, size, err := r.Next()
		if err == io.EOF {
			return out, nil
		}
		if err != nil {
			return out, err
		}
		value, err := io.ReadAll(r)
		if err != nil {
			return out, err
		}
		if int64(len(value)) != size {
			return out, io.ErrUnexpectedEOF
		}
		out = append(out, [2]string{name, string(value)})
	}
}

func TestSecretsComeBack(t *testing.T) {
	secrets := [][2]string{{"../../etc/shadow", "a"}, {".hidden", "b"}, {"/root", "c"}, {"a", ""}, {"a b\n\x00", "d"},
		{"site//x/", strings.Repeat("e", 200_000)}, {"site/offsite.key", "line 1\nline 2\n"}, {"ü", "f"}}
	c, h := classic(t), hybrid(t)
	for name, x := range map[string]struct {
		to age.Recipient
		id age.Identity
	}{"classic": {c.Recipient(), c}, "hybrid": {h.Recipient(), h}} {
		got, err := open(seal(t, secrets, x.to), x.id)
		if err != nil || !slices.Equal(got, secrets) {
			t.Errorf("%s: got %.200q, %v", name, got, err)
		}
	}
	for _, s := range secrets {
		if p := Escape(s[0]); strings.HasPrefix(p, "/") || strings.Contains(p, "..") || strings.Contains(p, "//") || strings.HasSuffix(p, "/") ||
			strings.ContainsAny(p, " \n\x00") {
			t.Errorf("%q lies at %q", s[0], p)
		}
	}
}

func TestABundleThatIsNotWholeIsRefused(t *testing.T) {
	id := classic(t)
	whole := seal(t, [][2]string{{"a", strings.Repeat("x", 100_000)}, {"b", "y"}}, id.Recipient())
	for cut := 0; cut < len(whole); cut += 997 {
		if got, err := open(whole[:cut], id); err == nil {
			t.Fatalf("cut at %d of %d: %d secrets and no error", cut, len(whole), len(got))
		}
	}
	for at := 0; at < len(whole); at += 499 {
		bad := bytes.Clone(whole)
		bad[at] ^= 1
		if _, err := open(bad, id); err == nil {
			t.Fatalf("a bit changed at %d of %d: no error", at, len(whole))
		}
	}
	var none *age.NoIdentityMatchError
	if _, err := open(whole, classic(t)); !errors.As(err, &none) {
		t.Errorf("with another key: got %v", err)
	}
	if _, err := NewWriter(io.Discard, key, id.Recipient(), hybrid(t).Recipient()); err == nil {
		t.Error("hybrid and classic recipients were mixed in one file")
	}
	w, err := NewWriter(io.Discard, key, id.Recipient())
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		size int64
	}{{"", 1}, {"b", 2}, {"a", 1}, {strings.Repeat("x", MaxName+1), 1}} {
		if err := w.Add(c.name, c.size, strings.NewReader("1")); err == nil {
			t.Errorf("%.20q of %d was taken", c.name, c.size)
		}
	}
}

func TestTheHeaderTellsWhoItIsFor(t *testing.T) {
	a, b, h := classic(t), classic(t), hybrid(t)
	two := seal(t, [][2]string{{"a", "b"}}, a.Recipient(), b.Recipient())
	s, err := ReadSealed(bytes.NewReader(two))
	// age adds a stanza of no meaning now and then to none: only those that are meant are counted
	if err != nil || s.Of(Classic) != 2 || s.Of(Hybrid) != 0 {
		t.Errorf("got %+v, %v", s, err)
	}
	s, err = ReadSealed(bytes.NewReader(seal(t, [][2]string{{"a", "b"}}, h.Recipient())))
	if err != nil || s.Of(Hybrid) != 1 || s.Of(Classic) != 0 {
		t.Errorf("got %+v, %v", s, err)
	}
	end := bytes.Index(two, []byte("\n---"))
	for name, bad := range map[string][]byte{
		"nothing": nil, "another file": []byte("PK\x03\x04 something else\n"), "its header alone": two[:end], "cut in its payload": two[:end+60],
		"a line without an end":  append([]byte("age-encryption.org/v1\n-> "), bytes.Repeat([]byte("x"), 1<<20)...),
		"recipients without end": append([]byte("age-encryption.org/v1\n"), bytes.Repeat([]byte("-> X25519 x\n"), 1<<12)...),
		"no recipient":           []byte("age-encryption.org/v1\n--- " + strings.Repeat("A", 43) + "\n" + strings.Repeat("x", 64)),
	} {
		if s, err := ReadSealed(bytes.NewReader(bad)); err == nil {
			t.Errorf("%s: it was taken as %+v", name, s)
		}
	}
}

func TestACanaryOpensForTheSameKeys(t *testing.T) {
	const set = "00112233445566ff"
	id := hybrid(t)
	var out bytes.Buffer
	if err := WriteCanary(&out, set, id.Recipient()); err != nil {
		t.Fatal(err)
	}
	if err := OpenCanary(bytes.NewReader(out.Bytes()), set, id); err != nil {
		t.Error(err)
	}
	if err := OpenCanary(bytes.NewReader(out.Bytes()), set, hybrid(t)); err == nil {
		t.Error("another key opened it")
	}
	if err := OpenCanary(bytes.NewReader(out.Bytes()), "ffffffffffffffff", id); err == nil {
		t.Error("it was taken for that of another set")
	}
}

func goodIndex(t testing.TB) *Index {
	h := strings.Repeat("0a", 32)
	return &Index{V: 1, Set: "00112233445566ff", Names: Hidden, Threshold: 2, Identity: classic(t).Recipient().String(),
		Bundles:    []File{{"bundle.age", "canary.age", Classic, []string{"age:0011223344556677"}, 400}},
		Items:      []Item{{Hash: h, Size: 64}},
		Custodians: []Custodian{{"anna", "age:0011223344556677", "share-anna.age", h}, {"ben", "age:0011223344556678", "share-ben.age", h}}}
}

func TestTheIndexIsRead(t *testing.T) {
	raw, err := goodIndex(t).Encode()
	if err != nil {
		t.Fatal(err)
	}
	x, err := ParseIndex(raw)
	if err != nil || x.Threshold != 2 || x.Custodians[1].Name != "ben" || x.Bundles[0].Class != Classic {
		t.Errorf("got %+v, %v", x, err)
	}
	for name, edit := range map[string]func(*Index){
		"another version": func(x *Index) { x.V = 2 }, "no set": func(x *Index) { x.Set = "" },
		"names of no kind":              func(x *Index) { x.Names = "x" },
		"a name where names are hidden": func(x *Index) { x.Items[0].Name = "pve-token" },
		"none where they are shown":     func(x *Index) { x.Names = Shown },
		"a size that tells":             func(x *Index) { x.Items[0].Size = 36 }, "no secret": func(x *Index) { x.Items = nil },
		"one twice": func(x *Index) { x.Items = append(x.Items, x.Items[0]) },
		"no bundle": func(x *Index) { x.Bundles = nil }, "a file elsewhere": func(x *Index) { x.Bundles[0].Bundle = "../bundle.age" },
		"a class of no kind":    func(x *Index) { x.Bundles[0].Class = "ssh" },
		"a bundle for nobody":   func(x *Index) { x.Bundles[0].Recipients = nil },
		"one custodian for two": func(x *Index) { x.Custodians = x.Custodians[:1] },
		"a custodian twice":     func(x *Index) { x.Custodians[1] = x.Custodians[0] }, "one of two": func(x *Index) { x.Threshold = 1 },
		"no identity":               func(x *Index) { x.Identity = "" },
		"a secret as a fingerprint": func(x *Index) { x.Bundles[0].Recipients[0] = "hunter2" },
	} {
		x := goodIndex(t)
		edit(x)
		if _, err := x.Encode(); err == nil {
			t.Errorf("%s: it was written", name)
		}
	}
	for name, text := range map[string]string{
		"an unknown field": strings.Replace(string(raw), `"v": 1`, `"v": 1, "note": "hunter2"`, 1), "a second document": string(raw) + "{}",
		"no JSON": "x", "a list": "[]",
	} {
		if _, err := ParseIndex([]byte(text)); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
	if NameHash(key, "a") == NameHash(bytes.Repeat([]byte{8}, keySize), "a") || NameHash(key, "a") == NameHash(key, "b") ||
		Rounded(1) != 64 || Rounded(64) != 64 || Rounded(65) != 128 {
		t.Error("hashes or sizes are wrong")
	}
}

func FuzzReadSealed(f *testing.F) {
	f.Add(seal(f, [][2]string{{"a", "b"}}, classic(f).Recipient()))
	f.Add([]byte("age-encryption.org/v1\n-> X25519 x\n\n--- "))
	f.Fuzz(func(t *testing.T, raw []byte) {
		if s, err := ReadSealed(bytes.NewReader(raw)); err == nil && (len(s.Stanzas) == 0 || s.Payload < 2*tag || s.Payload > int64(len(raw))) {
			t.Errorf("got %+v of %d bytes", s, len(raw))
		}
	})
}

func FuzzParseIndex(f *testing.F) {
	raw, err := goodIndex(f).Encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(raw)
	f.Fuzz(func(t *testing.T, raw []byte) {
		x, err := ParseIndex(raw)
		if err != nil {
			return
		}
		again, err := x.Encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := ParseIndex(again); err != nil {
			t.Error(err)
		}
	})
}

// FuzzReader reads clear bundles of anybody: age says who can open a file, never
// who made it.
func FuzzReader(f *testing.F) {
	id := classic(f)
	raw := seal(f, [][2]string{{"a", "b"}}, id.Recipient())
	clear, err := age.Decrypt(bytes.NewReader(raw), id)
	if err != nil {
		f.Fatal(err)
	}
	text, err := io.ReadAll(clear)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Fuzz(func(t *testing.T, text []byte) {
		var sealed bytes.Buffer
		w, err := age.Encrypt(&sealed, id.Recipient())
		if err == nil {
			_, err = w.Write(text)
		}
		if err == nil {
			err = w.Close()
		}
		if err != nil {
			t.Fatal(err)
		}
		list, err := open(sealed.Bytes(), id)
		for i, s := range list {
			if i > 0 && s[0] <= list[i-1][0] || strings.Contains(Escape(s[0]), "..") && strings.HasPrefix(Escape(s[0]), ".") {
				t.Errorf("secret %q was taken (%v)", s[0], err)
			}
		}
	})
}
