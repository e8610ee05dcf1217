"""Trials to and from other programs: CSV, XLSX, and databases of Optuna."""

from workbench.interchange.columns import Column as Column
from workbench.interchange.optuna import import_optuna as import_optuna
from workbench.interchange.reading import check_table as check_table
from workbench.interchange.reading import read_table as read_table
from workbench.interchange.table import Table as Table
from workbench.interchange.table import parse_table as parse_table
from workbench.interchange.writing import write_table as write_table
