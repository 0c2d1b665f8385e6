package mirror

import (
	"bytes"
	"reflect"
	"strings"
	"testing"
)

func keys(t testing.TB, password string) Keys {
	t.Helper()
	k, err := KeysOf([]byte(password))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

const sum = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestAListIsReadAsItWasWrittenAndBelievedOnlyWithItsKeys(t *testing.T) {
	k := keys(t, "correct horse")
	name, other := k.Name("p/012/345.f", ""), k.Name("kopia.repository.f", sum)
	want := List{Holds: []string{"vm/erp/20261123T010000Z-a"}, Entries: map[string]Entry{
		name:  {Name: name, Size: 400, SHA256: sum, Clear: sum, Bytes: 200, Pack: true},
		other: {Name: other, Size: 300, SHA256: sum, Clear: sum, Bytes: 0, Native: "quickxor:AAAA="}}}
	text := k.Encode(want)
	got, err := ParseList(text)
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Fatalf("got %+v, %v, want %+v", got, err, want)
	}
	if err := k.Verify(text); err != nil {
		t.Error(err)
	}
	if err := keys(t, "another").Verify(text); err == nil {
		t.Error("the keys of another password believe it")
	}
	for name, bad := range map[string][]byte{
		"a digest was changed":  bytes.Replace(text, []byte(sum+"  "), []byte(strings.Repeat("0", 64)+"  "), 1),
		"a copy was left out":   bytes.Replace(text, []byte("# holds vm/erp/20261123T010000Z-a\n"), nil, 1),
		"it was cut off":        text[:len(text)/2],
		"something was added":   append(bytes.Clone(text), "x\n"...),
		"its end was cut off":   text[:bytes.LastIndex(text, []byte(last))],
		"it is empty":           nil,
		"another one was added": append(bytes.Clone(text), text...),
	} {
		if err := k.Verify(bad); err == nil {
			t.Errorf("%s: it is believed", name)
		}
	}
	if k.Name("p/012/345.f", "") == keys(t, "another").Name("p/012/345.f", "") || k.Name("a.f", sum) == k.Name("a.f", "") {
		t.Error("names do not depend on the password, or on the content")
	}
}

func TestAnIndexLeadsNowhereElse(t *testing.T) {
	name := keys(t, "correct horse").Name("p/012/345.f", "")
	files := []File{{"p/012/345.f", Entry{Name: name, Size: 400, SHA256: sum, Clear: sum, Bytes: 200, Pack: true}}}
	text := EncodeIndex(files)
	if got, err := ParseIndex(text); err != nil || !reflect.DeepEqual(got, files) {
		t.Fatalf("got %+v, %v", got, err)
	}
	for _, bad := range []string{"../p.f", "/p.f", "p/../../p.f", "-p.f", "p/-p.f", "p//p.f", "./p.f", "$(p).f", "p;p.f", ""} {
		if _, err := ParseIndex(bytes.Replace(text, []byte("p/012/345.f"), []byte(bad), 1)); err == nil {
			t.Errorf("%q is taken for a file", bad)
		}
	}
	if _, err := ParseIndex(append(text, text[len(indexFirst):]...)); err == nil {
		t.Error("a file is there twice")
	}
	if _, err := ParseIndex(bytes.Replace(text, []byte(name), []byte("mirror/blobs/../states/x"), 1)); err == nil {
		t.Error("a blob may lie anywhere")
	}
}

func TestWhatIsMirrored(t *testing.T) {
	for file, want := range map[string]bool{
		"p/012/3456789abcdef.f": true, "q/012/3456789abcdef.f": true, "x/n0_/abc.f": true, "n/012/3.f": true,
		"kopia.repository.f": true, "kopia.blobcfg.f": true, ".shards": true,
		"kopia.maintenance.f": false, "_lo/g_2/3.f": false, "s/012/345.f": false, "runner.lease": false, "runner.users": false,
		"p/012/345.f.tmp": false, "../x.f": false,
	} {
		if got := Mirrored(file); got != want {
			t.Errorf("%s: %v, want %v", file, got, want)
		}
	}
}

func FuzzParse(f *testing.F) {
	k := keys(f, "x")
	f.Add(k.Encode(List{Holds: []string{"a/b/c"}, Entries: map[string]Entry{"x": {Name: k.Name("p", ""), SHA256: sum, Clear: sum, Size: 1}}}))
	f.Add(EncodeIndex([]File{{"p/1.f", Entry{Name: k.Name("p", ""), SHA256: sum, Clear: sum, Size: 1}}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if l, err := ParseList(b); err == nil {
			for name := range l.Entries {
				if !validBlob(name) {
					t.Errorf("%q", name)
				}
			}
		}
		files, _ := ParseIndex(b)
		for _, file := range files {
			if !validFile(file.Path) || !validBlob(file.Name) {
				t.Errorf("%+v", file)
			}
		}
	})
}
