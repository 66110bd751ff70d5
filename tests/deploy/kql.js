// Microsoft's own Kusto parser and analyser, asked in one go: standard input is
// {"tables": {table: {column: type}}, "functions": {name: [parameters, body]}, "queries": [text]},
// standard output one {"problems": [text], "columns": {name: type}} for each query.
const [folder] = process.argv.slice(2);
global.Bridge = require(`${folder}/bridge.min.js`);
require(`${folder}/Kusto.Language.Bridge.min.js`);
const { KustoCode, GlobalState, Symbols } = Kusto.Language;

const { tables, functions, queries } = JSON.parse(require("fs").readFileSync(0, "utf8"));
const symbols = Object.entries(tables).map(([name, columns]) => {
  const schema = Object.entries(columns).map(([column, type]) => `['${column}']:${type}`);
  return new Symbols.TableSymbol.$ctor7(name, `(${schema.join(", ")})`, null);
});
for (const [name, [parameters, body]] of Object.entries(functions))
  symbols.push(new Symbols.FunctionSymbol.$ctor16(name, parameters, `{${body}\n}`, null));
const globals = GlobalState.Default.WithDatabase(new Symbols.DatabaseSymbol.ctor("workspace", symbols));

const answers = queries.map((query) => {
  const code = KustoCode.ParseAndAnalyze(query, globals);
  const problems = [];
  for (const each = Bridge.getEnumerator(code.GetDiagnostics()); each.moveNext(); )
    problems.push(`${each.Current.Severity}: ${each.Current.Message}`);
  const columns = {};
  const found = code.ResultType && code.ResultType.Columns;
  for (let index = 0; found && index < found.Count; index++) {
    const column = found.getItem(index);
    columns[column.Name] = column.Type.Name;
  }
  return { problems, columns };
});
process.stdout.write(JSON.stringify(answers));
