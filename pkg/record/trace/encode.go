package trace

import (
	"encoding/base64"
	"maps"
	"slices"
	"strconv"

	"github.com/compspec/compat/pkg/internal/jsontext"
)

// AppendEvent appends the line of e, with its end, as it stands in a recording.
func AppendEvent(line []byte, e *Event) []byte {
	j := jsontext.Writer{B: line}
	appendEvent(&j, e)
	return j.B
}

func appendEvent(j *jsontext.Writer, e *Event) {
	j.Raw("{")
	j.Int("t", e.Time)
	j.Text("op", string(e.Op))
	text(j, "path", e.Path)
	text(j, "path2", e.Path2)
	j.OptText("errno", e.Errno)
	j.OptUint("handle", e.Handle)
	optInt(j, "pid", int64(e.PID))
	optInt(j, "tgid", int64(e.TGID))
	j.OptText("comm", e.Comm)
	j.OptUint("flags", uint64(e.Flags))
	j.OptBool("exec", e.Exec)
	optInt(j, "size", e.Size)
	optInt(j, "offset", e.Offset)
	optInt(j, "dur", e.Duration)
	j.OptText("digest", e.Digest)
	j.Raw("}\n")
}

func optInt(j *jsontext.Writer, name string, v int64) {
	if v != 0 {
		j.Int(name, v)
	}
}

// text writes a text that may be any bytes. Where it is no UTF-8 the member
// says it with U+FFFD for each wrong byte, and another one exactly, in base64.
func text(j *jsontext.Writer, name, v string) {
	if v == "" {
		return
	}
	j.Lossy = false
	j.Text(name, v)
	if j.Lossy {
		j.Key(name + "Bytes")
		quoteBase64(j, &v)
	}
}

// texts writes a list of such texts; if one is no UTF-8, all are said twice.
func texts(j *jsontext.Writer, name string, v []string) {
	j.Lossy = false
	jsontext.List(j, name, append([]string{}, v...), jsontext.String)
	if j.Lossy {
		jsontext.List(j, name+"Bytes", v, quoteBase64)
	}
}

func quoteBase64(j *jsontext.Writer, v *string) {
	j.Raw(`"`)
	j.B = base64.StdEncoding.AppendEncode(j.B, []byte(*v))
	j.Raw(`"`)
}

func appendHeader(j *jsontext.Writer, h *Header) {
	j.Raw("{")
	j.Uint("schemaVersion", SchemaVersion)
	j.Text("mediaType", MediaType)
	texts(j, "argv", h.Argv)
	text(j, "dir", h.Dir)
	text(j, "program", h.Program)
	j.OptText("digest", h.Digest)
	j.OptText("image", h.Image)
	j.Text("start", h.Start)
	j.Text("host", h.Host)
	j.Text("kernel", h.Kernel)
	j.Text("arch", h.Arch)
	j.Text("mode", string(h.Mode))
	j.Text("view", h.View)
	j.Bool("passthrough", h.Passthrough)
	texts(j, "watch", h.Watch)
	texts(j, "unrecorded", h.Unrecorded)
	if h.Rank != nil {
		j.Int("rank", int64(*h.Rank))
	}
	if len(h.Env) > 0 {
		j.Lossy = false
		object(j, "env", h.Env, jsontext.String)
		if j.Lossy {
			object(j, "envBytes", h.Env, quoteBase64)
		}
	}
	j.Raw("}\n")
}

// object writes a member whose names are not known before.
func object[T any](j *jsontext.Writer, name string, v map[string]T, one func(*jsontext.Writer, *T)) {
	j.Key(name)
	j.Raw("{")
	for i, key := range slices.Sorted(maps.Keys(v)) {
		if i > 0 {
			j.Raw(",")
		}
		j.Quote(key)
		j.Raw(":")
		value := v[key]
		one(j, &value)
	}
	j.Raw("}")
}

func appendFooter(j *jsontext.Writer, f *Footer) {
	j.Raw(`{"footer":{`)
	j.Int("t", f.Time)
	if f.Exit != nil {
		j.Int("exit", int64(*f.Exit))
	}
	j.Int("dropped", f.Dropped)
	counts := map[string]int64{}
	for op, n := range f.Counts {
		if n != 0 {
			counts[string(op)] = n
		}
	}
	number := func(j *jsontext.Writer, n *int64) { j.B = strconv.AppendInt(j.B, *n, 10) }
	object(j, "counts", counts, number)
	if len(f.Requests) > 0 {
		object(j, "requests", f.Requests, number)
	}
	j.Raw("}}\n")
}
