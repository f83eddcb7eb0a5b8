package spindle

import "encoding/json"

func Encode(p *Plan) ([]byte, error) { return json.Marshal(p) }

func Decode(b []byte) (*Plan, error) { var p Plan; return &p, json.Unmarshal(b, &p) }
