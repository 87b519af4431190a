import pytest

from unimri.evaluation.paper import parameter_table, write_parameters


def test_the_papers_counts():
    table = parameter_table(144_650, 1_280, 5).set_index("method")
    assert table["parameters"].to_dict() == {"shared": 144_650, "independent": 723_250, "proposed": 151_050}
    assert table["times_backbone"].to_dict() == pytest.approx(
        {"shared": 1, "independent": 5, "proposed": 151_050 / 144_650}
    )
    assert table["for_each_anatomy"].to_dict() == {"shared": 0, "independent": 144_650, "proposed": 1_280}
    assert round(table.loc["proposed", "for_each_anatomy_percent"], 2) == 0.88


def test_the_caption_names_the_papers_slip(tmp_path):
    write_parameters(100, 10, 3, tmp_path)
    report = (tmp_path / "parameters.md").read_text()
    assert "which is 10.00 % of it" in report
    assert '"less than 0.1%": a slip, 1,280 / 144,650 is 0.88 %' in report
    assert (tmp_path / "parameters.csv").read_text().splitlines() == [
        "method,parameters,times_backbone,for_each_anatomy,for_each_anatomy_percent",
        "shared,100,1.000000,0,0",
        "independent,300,3.000000,100,100.000000",
        "proposed,130,1.300000,10,10.000000",
    ]
